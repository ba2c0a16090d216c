delete from dbmail_keywords where message_idnr = $1
