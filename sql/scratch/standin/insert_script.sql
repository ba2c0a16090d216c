insert into dbmail_sievescripts (owner_idnr, name, script, active) values ($1, $2, $3, 1)
