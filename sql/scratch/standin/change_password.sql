update dbmail_users set passwd = $2, encryption_type = $3 where user_idnr = $1
