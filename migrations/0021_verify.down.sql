-- dbmail-mesh 0021, down.

set local lock_timeout = '250ms';

drop function dbmail_mesh.restamp_entry(text, jsonb, boolean, jsonb, bigint, bigint);
drop function dbmail_mesh.restamp_place(bigint, bigint, bigint, bigint);
drop function dbmail_mesh.stamp_above(bigint);
drop view dbmail_mesh.comparable;
drop function dbmail_mesh.body_digest(bigint);
drop view dbmail_mesh.message_digest;

delete from dbmail_mesh.migration where version = 21;
