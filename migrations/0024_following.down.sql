-- dbmail-mesh 0024, down.

set local lock_timeout = '250ms';

alter table dbmail_mesh.link_status drop column behind_since;

delete from dbmail_mesh.migration where version = 24;
