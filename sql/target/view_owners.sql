-- Which of these accounts are here, and which are dead and gone. No row: not known here.
-- $1 accounts.
select o.account, u.user_idnr is not null as is_here
from unnest($1::text[]) o(account)
join dbmail_mesh.account a on a.born_as = regexp_replace(o.account, '/[0-9]+$', '') and a.account = o.account
left join public.dbmail_users u on u.user_idnr = a.user_idnr
where u.user_idnr is not null or a.died_at is not null
