-- The highest UID that is visible in a mailbox above a given one; null when there is none. $1 mailbox_idnr, $2 that UID.
select max(g.message_idnr) as top
from public.dbmail_messages g
where g.mailbox_idnr = $1 and g.message_idnr > $2 and g.message_idnr < 281474976710656 and g.status < 2
