update dbmail_users set maxmail_size = $2 where user_idnr = $1
