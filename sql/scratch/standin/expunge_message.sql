update dbmail_messages set status = 2 where message_idnr = $1 and status < 2
