select user_idnr from dbmail_users where lower(userid) = lower($1)
