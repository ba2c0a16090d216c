-- dbmail-mesh 0011, down.

set local lock_timeout = '250ms';

drop trigger _900_dbmail_mesh_revived on public.dbmail_messages;
drop trigger _100_dbmail_mesh_revived on public.dbmail_messages;
drop trigger _910_dbmail_mesh_moved on public.dbmail_messages;
drop trigger _900_dbmail_mesh_moved on public.dbmail_messages;
drop trigger _100_dbmail_mesh_moved on public.dbmail_messages;
drop trigger _100_dbmail_mesh_number on public.dbmail_messages;
create trigger _100_dbmail_mesh_number before insert on public.dbmail_messages
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.number_new_message();
comment on trigger _100_dbmail_mesh_number on public.dbmail_messages is 'Chooses the UID of a new message.';
drop function dbmail_mesh.capture_revived();
drop function dbmail_mesh.number_revived_message();
drop function dbmail_mesh.capture_moved();
drop function dbmail_mesh.number_moved_message();
drop function dbmail_mesh.end_move();
drop function dbmail_mesh.raise_moved_line();
drop function dbmail_mesh.number_moved(bigint, bigint, bigint);
drop function dbmail_mesh.number_message();
drop function dbmail_mesh.number_or_way_out(bigint);
drop function dbmail_mesh.keep_aside(public.dbmail_messages);
drop function dbmail_mesh.place_of(bigint);
drop function dbmail_mesh.is_mere_name(bigint);
drop function dbmail_mesh.inbox_of(bigint);
drop function dbmail_mesh.is_staging(bigint);

delete from dbmail_mesh.migration where version = 11;
