delete from dbmail_auto_replies where user_idnr = $1
