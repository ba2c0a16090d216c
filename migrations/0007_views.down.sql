-- dbmail-mesh 0007, down.

drop view dbmail_mesh.link_progress;
drop function dbmail_mesh.resolve(bigint);
drop view dbmail_mesh.late_messages;
drop view dbmail_mesh.renumbers;

delete from dbmail_mesh.migration where version = 7;
