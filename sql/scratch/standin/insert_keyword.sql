insert into dbmail_keywords (message_idnr, keyword) values ($1, $2) on conflict do nothing
