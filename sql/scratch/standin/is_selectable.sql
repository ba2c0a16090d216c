select no_select = 0 from dbmail_mailboxes where mailbox_idnr = $1
