insert into dbmail_aliases (alias, deliver_to, client_idnr) values ($1, $2, $3)
