-- dbmail-mesh 0003, down.

set local lock_timeout = '250ms';

drop trigger _900_dbmail_mesh_new on public.dbmail_users;
drop trigger _900_dbmail_mesh_new on public.dbmail_mailboxes;
drop trigger _900_dbmail_mesh_deleted on public.dbmail_messages;
drop trigger _900_dbmail_mesh_expunged on public.dbmail_messages;
drop trigger _900_dbmail_mesh_new on public.dbmail_messages;
drop function dbmail_mesh.capture_user();
drop function dbmail_mesh.capture_mailbox();
drop function dbmail_mesh.capture_deletes();
drop function dbmail_mesh.capture_expunge();
drop function dbmail_mesh.capture_message();
drop function dbmail_mesh.birth_of(bigint);
drop function dbmail_mesh.ring();

delete from dbmail_mesh.migration where version = 3;
