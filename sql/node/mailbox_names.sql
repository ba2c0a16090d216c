-- Every mailbox with its owner and name; those of the internal delivery user are each node's own.
select m.mailbox_idnr, u.userid as owner, m.name
from public.dbmail_mailboxes m
join public.dbmail_users u on u.user_idnr = m.owner_idnr
where u.userid <> '__@!internal_delivery_user!@__'
order by m.mailbox_idnr
