select client_idnr from dbmail_users where user_idnr = $1
