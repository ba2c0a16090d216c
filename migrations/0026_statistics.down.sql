-- Undoes 0026.

set local lock_timeout = '250ms';

drop function dbmail_mesh.refresh_statistics();

delete from dbmail_mesh.migration where version = 26;
