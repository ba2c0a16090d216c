-- dbmail-mesh 0023, down.

set local lock_timeout = '250ms';

drop view dbmail_mesh.number_use;
drop view dbmail_mesh.waiting;
drop view dbmail_mesh.outbox_by_peer;
drop view dbmail_mesh.lag;
drop function dbmail_mesh.mailboxes_renumbered(timestamptz);
drop function dbmail_mesh.mail_events(text, timestamptz);
drop function dbmail_mesh.mailboxes_of_user(text);
drop function dbmail_mesh.history(bigint);
drop view dbmail_mesh.expunges;
drop view dbmail_mesh.members;
drop index dbmail_mesh.tombstone_by_time;
drop index dbmail_mesh.renumber_log_by_time;

delete from dbmail_mesh.migration where version = 23;
