-- A look without locks: the high line of a mailbox; no row when the node does not have it. $1 mailbox_idnr.
select greatest(l.high, (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = l.mailbox_idnr)) as high
from dbmail_mesh.line l
join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
where l.mailbox_idnr = $1
