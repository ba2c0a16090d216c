delete from dbmail_messages where message_idnr = $1
