select mailbox_idnr from dbmail_mailboxes where owner_idnr = $1 and name = $2
