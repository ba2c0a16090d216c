update dbmail_users set spasswd = $2 where user_idnr = $1
