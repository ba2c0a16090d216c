delete from dbmail_usermap where login = $1 and userid = $2
