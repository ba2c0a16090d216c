update dbmail_messages set mailbox_idnr = $2 where message_idnr = $1
