-- dbmail-mesh 0015, down.

set local lock_timeout = '250ms';

drop trigger _900_dbmail_mesh_entry on public.dbmail_auto_notifications;
drop trigger _900_dbmail_mesh_entry on public.dbmail_auto_replies;
drop trigger _900_dbmail_mesh_entry on public.dbmail_filters;
drop trigger _910_dbmail_mesh_active on public.dbmail_sievescripts;
drop trigger _900_dbmail_mesh_entry on public.dbmail_sievescripts;
drop trigger _900_dbmail_mesh_entry on public.dbmail_acl;
drop trigger _900_dbmail_mesh_entry on public.dbmail_subscription;
drop trigger _900_dbmail_mesh_entry on public.dbmail_usermap;
drop trigger _900_dbmail_mesh_entry on public.dbmail_aliases;
drop function dbmail_mesh.forget_mailbox(bigint);
drop function dbmail_mesh.forget_account(text);
drop function dbmail_mesh.merge_entries(bigint, bigint);
drop function dbmail_mesh.write_active(jsonb);
drop function dbmail_mesh.write_scripts(jsonb);
drop function dbmail_mesh.write_notifications(jsonb);
drop function dbmail_mesh.write_replies(jsonb);
drop function dbmail_mesh.write_filters(jsonb);
drop function dbmail_mesh.write_acls(jsonb);
drop function dbmail_mesh.write_subscriptions(jsonb);
drop function dbmail_mesh.write_usermap(jsonb);
drop function dbmail_mesh.write_aliases(jsonb);
drop function dbmail_mesh.write_entry_rows(jsonb);
drop function dbmail_mesh.write_entries(jsonb);
drop function dbmail_mesh.view_entries(jsonb);
drop function dbmail_mesh.capture_active();
drop function dbmail_mesh.capture_entry();
drop function dbmail_mesh.set_entry(text, jsonb, boolean, jsonb);
drop function dbmail_mesh.entry_of(text, jsonb);

-- Keys of entries mean nothing to what is left.
delete from dbmail_mesh.outbox where kind = 'e';
delete from dbmail_mesh.set_aside where kind = 'e';
update dbmail_mesh.cursor set copy_stage = 'm', copy_position = 0 where copy_stage = 'e';
drop table dbmail_mesh.entry;

delete from dbmail_mesh.migration where version = 15;
