update dbmail_messages set seq = $2 where message_idnr = $1 and seq < $2
