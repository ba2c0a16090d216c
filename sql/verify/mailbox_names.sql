-- $1 mailbox_idnr.
select m.mailbox_idnr, coalesce(u.userid, '') as owner, m.name
from public.dbmail_mailboxes m
left join public.dbmail_users u on u.user_idnr = m.owner_idnr
where m.mailbox_idnr = any ($1::bigint[])
