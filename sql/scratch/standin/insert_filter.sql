insert into dbmail_filters (user_id, headername, headervalue, mailbox) values ($1, $2, $3, $4)
