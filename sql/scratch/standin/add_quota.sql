update dbmail_users set curmail_size = curmail_size + $2 where user_idnr = $1
