select from dbmail_aliases where lower(alias) = lower($1) and deliver_to = $2 and client_idnr = $3
