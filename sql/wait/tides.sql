-- Mailboxes whose HIGHESTMODSEQ has gone up here lately, and how far. $1 how many rows of the outbox are looked at, from the last one.
select m.mailbox_idnr, m.seq
from public.dbmail_mailboxes m
where m.mailbox_idnr in (select o.key from (select x.kind, x.key, x.origin from dbmail_mesh.outbox x order by x.id desc limit $1) o
                         where o.kind = 's' and o.origin is null)
