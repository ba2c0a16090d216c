update dbmail_messages set mailbox_idnr = $2 where mailbox_idnr = $1
