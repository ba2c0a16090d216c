-- dbmail-mesh 0016, down. What it replaced goes with the migrations that made it; no worker runs on a node that is taken back.

set local lock_timeout = '250ms';

drop trigger _100_dbmail_mesh_modseq on public.dbmail_messages;
drop trigger _900_dbmail_mesh_seq on public.dbmail_mailboxes;
drop function dbmail_mesh.write_tides(jsonb, bigint[]);
drop function dbmail_mesh.passed_messages(smallint, jsonb, jsonb, bigint);
drop function dbmail_mesh.write_modseqs(jsonb, bigint[]);
drop function dbmail_mesh.raise_seq(jsonb, bigint[]);
drop function dbmail_mesh.has_all_of(smallint, jsonb);
drop function dbmail_mesh.covers(pg_snapshot, pg_snapshot);
drop function dbmail_mesh.number_flags();
drop function dbmail_mesh.capture_seq();

drop index dbmail_mesh.outbox_by_source;
delete from dbmail_mesh.outbox where kind in ('n', 's');
alter table dbmail_mesh.outbox drop column source_xid, drop constraint outbox_kind_is_known,
  add constraint outbox_kind_is_known check (kind in ('u', 'b', 'e', 'm'));

delete from dbmail_mesh.migration where version = 16;
