delete from dbmail_auto_notifications where user_idnr = $1
