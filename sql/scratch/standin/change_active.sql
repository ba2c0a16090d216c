update dbmail_users set active = $2 where user_idnr = $1
