update dbmail_mailboxes set name = $2 where mailbox_idnr = $1
