delete from dbmail_mailboxes where mailbox_idnr = $1
