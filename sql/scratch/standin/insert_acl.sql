insert into dbmail_acl (user_id, mailbox_id) values ($1, $2)
