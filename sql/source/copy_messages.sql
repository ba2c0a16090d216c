-- First copy: the next messages that are alive. Rows above 2^48 are staging.
-- $1 the last key that is done, $2 the most rows.
select g.message_idnr as key
from public.dbmail_messages g
join public.dbmail_mailboxes m on m.mailbox_idnr = g.mailbox_idnr
left join public.dbmail_users u on u.user_idnr = m.owner_idnr
where g.message_idnr > $1 and g.message_idnr < 281474976710656 and g.status < 2
  and u.userid is distinct from '__@!internal_delivery_user!@__'
order by g.message_idnr
limit $2
