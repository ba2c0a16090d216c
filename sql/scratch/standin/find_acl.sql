select from dbmail_acl where user_id = $1 and mailbox_id = $2
