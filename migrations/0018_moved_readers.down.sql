-- dbmail-mesh 0018, down. What dbmail's statements run is put back as it was; what only the worker calls goes with the migrations that
-- made it; no worker runs on a node that is taken back.

set local lock_timeout = '250ms';

create or replace function dbmail_mesh.capture_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.outbox (kind, key) values ('m', new.message_idnr);
  perform dbmail_mesh.ring();
  return null;
end
$$;

create or replace function dbmail_mesh.capture_moved() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  birth bigint := dbmail_mesh.birth_of(old.message_idnr);
begin
  if dbmail_mesh.is_staging(new.mailbox_idnr) then
    return null;
  end if;
  if new.message_idnr <> old.message_idnr then
    insert into dbmail_mesh.number (uid, birth_uid, decided_by, decided_at)
    select new.message_idnr, birth, n.node_id, clock_timestamp() from dbmail_mesh.local_node n
    on conflict do nothing;
  end if;
  insert into dbmail_mesh.message_register as r (birth_uid, place) values (birth, dbmail_mesh.next_stamp(0))
  on conflict (birth_uid) do update set place = dbmail_mesh.next_stamp(r.place);
  delete from dbmail_mesh.late l where l.row_idnr = old.message_idnr;
  perform dbmail_mesh.note('m', new.message_idnr);
  return null;
end
$$;

create or replace function dbmail_mesh.capture_revived() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if new.message_idnr <> old.message_idnr then
    perform dbmail_mesh.note('m', new.message_idnr);
  end if;
  return null;
end
$$;

create or replace function dbmail_mesh.note_login() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- The user's row is locked: no apply can be deciding that he is not here.
  update dbmail_mesh.presence p set seen_at = greatest(p.seen_at, clock_timestamp()) where p.user_idnr = new.user_idnr;
  if not found then
    insert into dbmail_mesh.presence (user_idnr, seen_at) values (new.user_idnr, clock_timestamp()) on conflict do nothing;
  end if;
  return null;
exception when others then
  raise warning 'dbmail-mesh: the login of user % could not be noted: %', new.userid, sqlerrm;
  return null;
end
$$;

drop function dbmail_mesh.queue_visible(bigint[], timestamptz[]);
drop function dbmail_mesh.passed_by(bigint[], timestamptz[], boolean[], bigint[], bigint[]);
drop function dbmail_mesh.mailboxes_of(bigint[]);
drop function dbmail_mesh.had_tops(bigint[], bigint[]);
drop function dbmail_mesh.row_of(bigint);
drop function dbmail_mesh.unacknowledged(smallint, smallint[], timestamptz, text[], integer[]);
drop index dbmail_mesh.tombstone_by_mailbox;
drop function dbmail_mesh.moved_readers(bigint);
drop function dbmail_mesh.is_gone(text);
drop function dbmail_mesh.write_readers(smallint, jsonb);
drop function dbmail_mesh.note_shown(bigint);
drop table dbmail_mesh.moved_reader, dbmail_mesh.reader_elsewhere;
alter table dbmail_mesh.outbox drop column shown;

delete from dbmail_mesh.migration where version = 18;
