update dbmail_users set saction = $2 where user_idnr = $1
