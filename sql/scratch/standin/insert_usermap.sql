insert into dbmail_usermap (login, sock_allow, sock_deny, userid) values ($1, $2, $3, $4)
