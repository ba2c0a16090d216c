update dbmail_mailboxes set no_select = $2 where mailbox_idnr = $1
