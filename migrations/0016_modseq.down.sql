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

-- As 0010 made it: dbmail goes on working until that is taken back, too.
create or replace function dbmail_mesh.capture_flags() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  fresh bigint := dbmail_mesh.next_stamp(0);
begin
  insert into dbmail_mesh.message_register as r (birth_uid, seen, answered, deleted, flagged, draft)
  values (dbmail_mesh.birth_of(new.message_idnr),
          case when new.seen_flag <> old.seen_flag then fresh else 0 end,
          case when new.answered_flag <> old.answered_flag then fresh else 0 end,
          case when new.deleted_flag <> old.deleted_flag then fresh else 0 end,
          case when new.flagged_flag <> old.flagged_flag then fresh else 0 end,
          case when new.draft_flag <> old.draft_flag then fresh else 0 end)
  on conflict (birth_uid) do update
  set seen = case when excluded.seen > 0 then dbmail_mesh.next_stamp(r.seen) else r.seen end,
      answered = case when excluded.answered > 0 then dbmail_mesh.next_stamp(r.answered) else r.answered end,
      deleted = case when excluded.deleted > 0 then dbmail_mesh.next_stamp(r.deleted) else r.deleted end,
      flagged = case when excluded.flagged > 0 then dbmail_mesh.next_stamp(r.flagged) else r.flagged end,
      draft = case when excluded.draft > 0 then dbmail_mesh.next_stamp(r.draft) else r.draft end;
  perform dbmail_mesh.note('m', new.message_idnr);
  return null;
end
$$;

alter table dbmail_mesh.message_register drop column seq;
drop index dbmail_mesh.outbox_by_source;
delete from dbmail_mesh.outbox where kind in ('n', 's');
alter table dbmail_mesh.outbox drop column source_xid, drop constraint outbox_kind_is_known,
  add constraint outbox_kind_is_known check (kind in ('u', 'b', 'e', 'm'));

delete from dbmail_mesh.migration where version = 16;
