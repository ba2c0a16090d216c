update dbmail_sievescripts set active = $3 where owner_idnr = $1 and name = $2
