update dbmail_messages set status = 0 where message_idnr = $1
