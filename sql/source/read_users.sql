-- The replicated columns of users. last_login, curmail_size and cursieve_size are each node's own.
-- $1 user_idnr.
select u.user_idnr, u.userid, u.passwd, u.client_idnr, u.maxmail_size, u.maxsieve_size, u.encryption_type, u.spasswd, u.saction,
       u.active
from public.dbmail_users u
where u.user_idnr = any ($1::bigint[])
order by u.user_idnr
