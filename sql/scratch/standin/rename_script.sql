update dbmail_sievescripts set name = $3, active = $4 where owner_idnr = $1 and name = $2
