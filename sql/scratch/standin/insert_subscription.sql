insert into dbmail_subscription (user_id, mailbox_id) values ($1, $2)
