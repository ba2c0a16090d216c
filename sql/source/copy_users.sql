-- First copy: the next users. dbmail's own three exist on every node.
-- $1 the last key that is done, $2 the most rows.
select u.user_idnr as key
from public.dbmail_users u
where u.user_idnr > $1 and u.userid not in ('__@!internal_delivery_user!@__', '__public__', 'anyone')
order by u.user_idnr
limit $2
