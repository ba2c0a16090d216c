delete from dbmail_users where userid = $1
