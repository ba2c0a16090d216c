update dbmail_messages set status = 3 where status = 2
