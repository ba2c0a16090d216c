-- The replicated columns of users. last_login, curmail_size and cursieve_size are each node's own.
-- $1 account.id.
select a.id, a.account, a.born_as, a.generation, u.userid, u.passwd, u.client_idnr, u.maxmail_size, u.maxsieve_size,
       u.encryption_type, u.spasswd, u.saction, u.active
from dbmail_mesh.account a
join public.dbmail_users u on u.user_idnr = a.user_idnr
where a.id = any ($1::bigint[])
order by a.id
