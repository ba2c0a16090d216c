update dbmail_mailboxes set permission = $2 where mailbox_idnr = $1
