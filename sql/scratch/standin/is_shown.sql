select from dbmail_messages where message_idnr = $1 and status < 2
