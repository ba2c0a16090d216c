insert into dbmail_users (userid, passwd, client_idnr, maxmail_size, encryption_type)
values ($1, '', 0, 0, '')
returning user_idnr
