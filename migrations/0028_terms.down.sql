-- dbmail-mesh 0028, down.

set local lock_timeout = '250ms';

drop function dbmail_mesh.seek_term(text, interval);
drop view dbmail_mesh.active_worker;
drop function dbmail_mesh.begin_term(text);
drop trigger _000_term on dbmail_mesh.outbox;
drop trigger _000_term on dbmail_mesh.heard;
drop trigger _000_term on dbmail_mesh.late;
drop trigger _000_term on dbmail_mesh.local_node;
drop trigger _000_term on dbmail_mesh.peer;
drop trigger _000_term on dbmail_mesh.moved_reader;
drop trigger _000_term on dbmail_mesh.set_aside;
drop trigger _000_term on dbmail_mesh.link_status;
drop trigger _000_term on dbmail_mesh.cursor;
drop function dbmail_mesh.hold_term_for_statement();
drop function dbmail_mesh.hold_term();
drop table dbmail_mesh.worker;

delete from dbmail_mesh.migration where version = 28;
