-- dbmail-mesh 0017, down. What dbmail's statements run is put back as it was; what only the worker calls goes with the migrations that
-- made it; no worker runs on a node that is taken back.

set local lock_timeout = '250ms';

drop trigger _900_dbmail_mesh_shared on public.dbmail_acl;
drop trigger _900_dbmail_mesh_unshared on public.dbmail_acl;
drop trigger _100_dbmail_mesh_selected on public.dbmail_messages;
drop trigger _900_dbmail_mesh_gone on public.dbmail_users;
drop trigger _900_dbmail_mesh_public on public.dbmail_users;
drop trigger _900_dbmail_mesh_login on public.dbmail_users;

create or replace function dbmail_mesh.await_line(mailbox bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '250ms'
as $$
declare
  found_high bigint;
begin
  insert into dbmail_mesh.line (mailbox_idnr, owner_idnr, high)
  select m.mailbox_idnr, m.owner_idnr,
         coalesce((select max(g.message_idnr) from public.dbmail_messages g
                   where g.mailbox_idnr = mailbox and g.message_idnr < 281474976710656), 0)
  from public.dbmail_mailboxes m
  where m.mailbox_idnr = mailbox and not exists (select from dbmail_mesh.line l where l.mailbox_idnr = mailbox)
  on conflict do nothing;
  select l.high into found_high from dbmail_mesh.line l where l.mailbox_idnr = mailbox for no key update;
  return found_high;
end
$$;

create or replace function dbmail_mesh.number_in(mailbox bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known_high bigint;
  chosen bigint;
begin
  select l.high into known_high from dbmail_mesh.line l where l.mailbox_idnr = mailbox for no key update skip locked;
  if not found then
    known_high := dbmail_mesh.await_line(mailbox);
  end if;
  known_high := greatest(known_high, (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = mailbox));
  chosen := dbmail_mesh.next_uid(known_high);
  update dbmail_mesh.line set high = chosen where mailbox_idnr = mailbox;
  return chosen;
end
$$;

create or replace function dbmail_mesh.raise_moved_line() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  noted text := current_setting('dbmail_mesh.move', true);
begin
  if noted <> '' then
    update dbmail_mesh.line l set high = split_part(noted, ' ', 4)::bigint
    where l.mailbox_idnr = split_part(noted, ' ', 1)::bigint and l.high < split_part(noted, ' ', 4)::bigint;
  end if;
end
$$;

create or replace function dbmail_mesh.capture_flags() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  fresh bigint := dbmail_mesh.next_stamp(0);
begin
  insert into dbmail_mesh.message_register as r (birth_uid, seen, answered, deleted, flagged, draft, seq)
  values (dbmail_mesh.birth_of(new.message_idnr),
          case when new.seen_flag <> old.seen_flag then fresh else 0 end,
          case when new.answered_flag <> old.answered_flag then fresh else 0 end,
          case when new.deleted_flag <> old.deleted_flag then fresh else 0 end,
          case when new.flagged_flag <> old.flagged_flag then fresh else 0 end,
          case when new.draft_flag <> old.draft_flag then fresh else 0 end,
          new.seq)
  on conflict (birth_uid) do update
  set seen = case when excluded.seen > 0 then dbmail_mesh.next_stamp(r.seen) else r.seen end,
      answered = case when excluded.answered > 0 then dbmail_mesh.next_stamp(r.answered) else r.answered end,
      deleted = case when excluded.deleted > 0 then dbmail_mesh.next_stamp(r.deleted) else r.deleted end,
      flagged = case when excluded.flagged > 0 then dbmail_mesh.next_stamp(r.flagged) else r.flagged end,
      draft = case when excluded.draft > 0 then dbmail_mesh.next_stamp(r.draft) else r.draft end,
      seq = greatest(r.seq, excluded.seq);
  perform dbmail_mesh.note('m', new.message_idnr);
  return null;
end
$$;

drop view dbmail_mesh.reported_lines;
drop function dbmail_mesh.lock_and_view(bigint[], bigint[], bigint);
create function dbmail_mesh.lock_and_view(mailboxes bigint[], births bigint[])
returns table (id bigint, state "char", uid bigint, row_idnr bigint, mailbox_idnr bigint, row_mailbox bigint, flags smallint[],
               stamps bigint[], keywords jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.dbmail_mailboxes m where m.mailbox_idnr = any (mailboxes) order by m.mailbox_idnr for key share;
  perform from dbmail_mesh.line l where l.mailbox_idnr = any (mailboxes) order by l.mailbox_idnr for no key update;
  -- Statements of their own: their snapshots are newer than the locks.
  return query
    select l.mailbox_idnr, 'l'::"char",
           greatest(l.high, (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = l.mailbox_idnr)),
           null::bigint, l.mailbox_idnr, null::bigint, null::smallint[], null::bigint[], null::jsonb
    from dbmail_mesh.line l join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
    where l.mailbox_idnr = any (mailboxes)
      and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = l.mailbox_idnr);
  return query
    select v.birth_uid, v.state, v.uid, v.row_idnr, v.mailbox_idnr, v.row_mailbox, v.flags, v.stamps, v.keywords
    from dbmail_mesh.view_states(births) v;
end
$$;
drop function dbmail_mesh.forget_signs(bigint);
drop function dbmail_mesh.set_presence(interval);
drop function dbmail_mesh.note_unshare();
drop function dbmail_mesh.note_share();
drop function dbmail_mesh.note_select();
drop function dbmail_mesh.note_reader(bigint, "char");
drop function dbmail_mesh.forget_login();
drop function dbmail_mesh.note_public_owner();
drop function dbmail_mesh.note_login();
drop function dbmail_mesh.raise_line(bigint, bigint);
drop function dbmail_mesh.reported_of(dbmail_mesh.line, timestamptz);
drop function dbmail_mesh.read_until(bigint, bigint);
drop table dbmail_mesh.reader_sign, dbmail_mesh.presence;
alter table dbmail_mesh.line drop column raised_at, drop column reported;
alter table dbmail_mesh.local_node drop column presence;

delete from dbmail_mesh.migration where version = 17;
