delete from dbmail_subscription where user_id = $1 and mailbox_id = $2
