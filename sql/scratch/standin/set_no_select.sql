update dbmail_mailboxes set no_select = 1 where mailbox_idnr = $1
