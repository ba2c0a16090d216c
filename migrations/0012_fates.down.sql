-- dbmail-mesh 0012, down.

drop function dbmail_mesh.deliver_kept(bigint, bigint);
drop function dbmail_mesh.drop_kept(bigint);
drop view dbmail_mesh.kept_messages;
drop function dbmail_mesh.remove_account(bigint);
drop function dbmail_mesh.remove_mailbox(bigint);
drop function dbmail_mesh.messages_of_doomed(bigint, bigint);
drop function dbmail_mesh.doomed(bigint);
drop function dbmail_mesh.has_come(smallint, xid8);
drop index dbmail_mesh.account_pending;
drop index dbmail_mesh.mailbox_fate_pending;

delete from dbmail_mesh.migration where version = 12;
