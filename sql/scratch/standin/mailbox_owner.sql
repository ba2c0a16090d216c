select owner_idnr from dbmail_mailboxes where mailbox_idnr = $1
