update dbmail_messages set status = 3 where mailbox_idnr = $1
