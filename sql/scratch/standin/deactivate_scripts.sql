update dbmail_sievescripts set active = 0 where owner_idnr = $1
