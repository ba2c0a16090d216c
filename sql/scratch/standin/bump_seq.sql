update dbmail_mailboxes set seq = seq + 1 where mailbox_idnr = $1
