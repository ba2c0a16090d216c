-- dbmail-mesh 0010, down.

set local lock_timeout = '250ms';

drop trigger _900_dbmail_mesh_removed on public.dbmail_keywords;
drop trigger _900_dbmail_mesh_added on public.dbmail_keywords;
drop trigger _900_dbmail_mesh_flags on public.dbmail_messages;
drop function dbmail_mesh.capture_keyword_removed();
drop function dbmail_mesh.capture_keyword_added();
drop function dbmail_mesh.capture_flags();
drop table dbmail_mesh.keyword_register;
drop table dbmail_mesh.message_register;

delete from dbmail_mesh.migration where version = 10;
