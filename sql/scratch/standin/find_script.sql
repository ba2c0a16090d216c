select active from dbmail_sievescripts where owner_idnr = $1 and name = $2
