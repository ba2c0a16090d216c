update dbmail_users set userid = $2 where user_idnr = $1
