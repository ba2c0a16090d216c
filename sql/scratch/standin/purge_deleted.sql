delete from dbmail_messages where status = 3
