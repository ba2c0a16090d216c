select deliver_to from dbmail_aliases where alias = $1 order by alias_idnr
