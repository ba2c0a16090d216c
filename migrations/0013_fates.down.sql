-- dbmail-mesh 0013, down.

create or replace view dbmail_mesh.late_messages as
select l.first_seen, clock_timestamp() - l.first_seen as waiting, u.userid as owner, m.name as mailbox, l.mailbox_idnr, l.uid,
       l.birth_uid, l.row_idnr < 281474976710656 as is_visible, i.high
from dbmail_mesh.late l
left join dbmail_mesh.line i on i.mailbox_idnr = l.mailbox_idnr
left join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
left join public.dbmail_users u on u.user_idnr = coalesce(m.owner_idnr, i.owner_idnr);

drop function dbmail_mesh.deliver_kept(bigint, bigint);
drop function dbmail_mesh.drop_kept(bigint);
drop view dbmail_mesh.kept_messages;
drop function dbmail_mesh.remove_account(bigint);
drop function dbmail_mesh.remove_mailbox(bigint);
drop function dbmail_mesh.messages_of_doomed(bigint, bigint);
drop function dbmail_mesh.doomed(bigint);
drop function dbmail_mesh.has_come(smallint, xid8);
drop index dbmail_mesh.account_pending;
drop index dbmail_mesh.mailbox_register_selectable;
drop index dbmail_mesh.mailbox_fate_pending;

delete from dbmail_mesh.migration where version = 13;
