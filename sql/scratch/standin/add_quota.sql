update dbmail_users set curmail_size = greatest(curmail_size + $2, 0) where user_idnr = $1
