update dbmail_users set last_login = localtimestamp where user_idnr = $1
