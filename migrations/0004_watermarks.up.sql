-- dbmail-mesh 0004: the high line of every mailbox that is here already. Reads dbmail_messages once, writes none of it.
-- It runs after the triggers are in place: a mailbox that takes mail in the meantime has its line row from there.

insert into dbmail_mesh.line (mailbox_idnr, owner_idnr, high)
select m.mailbox_idnr, m.owner_idnr, coalesce(g.high, 0)
from public.dbmail_mailboxes m
left join (select mailbox_idnr, max(message_idnr) as high from public.dbmail_messages
           where message_idnr < 281474976710656 group by mailbox_idnr) g using (mailbox_idnr)
order by m.mailbox_idnr
on conflict do nothing;

insert into dbmail_mesh.migration (version, name) values (4, 'watermarks');
