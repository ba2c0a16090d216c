update dbmail_users set client_idnr = $2 where user_idnr = $1
