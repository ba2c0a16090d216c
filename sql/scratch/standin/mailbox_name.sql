select owner_idnr, name from dbmail_mailboxes where mailbox_idnr = $1
