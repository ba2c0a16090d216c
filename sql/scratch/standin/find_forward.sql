select from dbmail_aliases where lower(alias) = lower($1) and lower(deliver_to) = lower($2)
