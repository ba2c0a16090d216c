-- dbmail-mesh 0017: the reported line. What no client can have seen is not renumbered.
--
-- Nobody tells which UIDs a client was shown. What is known is until when somebody may be reading: a login counts for the time of
-- local_node.presence, and so does any other sign of a reader. While there may be one, the reported line of a mailbox is its high line;
-- afterwards it stays where that was. The worker sets presence (mesh.presence); until it has, every mailbox counts as read.
--
-- A login and an apply meet at the user's row: whoever decides that nobody is reading holds it until that is committed. Signs of reading
-- are rows that are only added: no reader waits for a lock.

set local lock_timeout = '250ms';

alter table dbmail_mesh.local_node add column presence interval;
comment on column dbmail_mesh.local_node.presence is 'For how long after a login, or another sign of a reader, a mailbox counts as read (mesh.presence); null: always.';

-- The default of the rows that are here stands for their high line: no row is written, and no delivery waits.
alter table dbmail_mesh.line
  add column reported bigint not null default 9223372036854775807,
  add column raised_at timestamptz not null default now();
alter table dbmail_mesh.line
  alter column reported set default 0,
  alter column raised_at set default clock_timestamp();
comment on column dbmail_mesh.line.reported is 'Highest UID that clients may have been told of when the high line last rose; above it: the high line. Never falls. View reported_lines tells what counts now.';
comment on column dbmail_mesh.line.raised_at is 'When the high line last rose.';

create table dbmail_mesh.presence (
  user_idnr bigint primary key,
  seen_at timestamptz not null
) with (fillfactor = 50);
comment on table dbmail_mesh.presence is 'Who has logged in on this node. One row a user, whatever the number of his mailboxes.';
comment on column dbmail_mesh.presence.user_idnr is 'dbmail_users.user_idnr.';
comment on column dbmail_mesh.presence.seen_at is 'His last login, by this server''s clock; infinity for the owner of the public mailboxes.';

create table dbmail_mesh.reader_sign (
  id bigint generated always as identity primary key,
  mailbox_idnr bigint not null,
  seen_at timestamptz not null default clock_timestamp(),
  sign "char" not null,
  constraint reader_sign_is_known check (sign in ('f', 's', 'a', 'r'))
);
comment on table dbmail_mesh.reader_sign is 'Signs that somebody reads a mailbox other than by a login of its owner. Rows are added where nothing newer is known, and taken away by the worker once a later one says the same.';
comment on column dbmail_mesh.reader_sign.id is 'Order on this node.';
comment on column dbmail_mesh.reader_sign.mailbox_idnr is 'The mailbox.';
comment on column dbmail_mesh.reader_sign.seen_at is 'When; infinity while the mailbox is shared.';
comment on column dbmail_mesh.reader_sign.sign is 'f: a flag was changed, s: it was selected, a: it has ACLs, r: its last ACL was taken away.';
create index reader_sign_by_mailbox on dbmail_mesh.reader_sign (mailbox_idnr, seen_at);

-- These are asked on the way of every delivery: PL/pgSQL keeps their plans, a function in SQL is planned each time.
create function dbmail_mesh.read_until(mailbox bigint, owner bigint) returns timestamptz
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  window_of_a_sign interval := (select n.presence from dbmail_mesh.local_node n);
begin
  if window_of_a_sign is null then
    return 'infinity';
  end if;
  return window_of_a_sign + greatest((select p.seen_at from dbmail_mesh.presence p where p.user_idnr = owner),
                                     (select max(s.seen_at) from dbmail_mesh.reader_sign s where s.mailbox_idnr = mailbox));
end
$$;
comment on function dbmail_mesh.read_until is 'Until when a mailbox of this owner may be read by a client of this node, as far as is known; null: nobody who may read it has ever come.';

-- As Line::reported in the worker. A clock that has gone back since the line rose says nothing of who came before whom.
create function dbmail_mesh.reported_of(line dbmail_mesh.line, until timestamptz) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if until is not null and (until >= line.raised_at or line.raised_at > clock_timestamp()) then
    return greatest(line.high, (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = line.mailbox_idnr));
  end if;
  return least(line.reported, line.high);
end
$$;
comment on function dbmail_mesh.reported_of is 'The reported line of a mailbox: the highest UID that a client of this node may have been told of, when it may have been read until then.';

-- As Line::showing in the worker.
create function dbmail_mesh.raise_line(mailbox bigint, high bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  until timestamptz;
  line dbmail_mesh.line;
begin
  select l.* into line from dbmail_mesh.line l where l.mailbox_idnr = mailbox;
  if line.high < raise_line.high then
    until := dbmail_mesh.read_until(mailbox, line.owner_idnr);
    update dbmail_mesh.line l
    set high = raise_line.high, raised_at = clock_timestamp(),
        reported = case when until >= clock_timestamp() then raise_line.high else dbmail_mesh.reported_of(line, until) end
    where l.mailbox_idnr = mailbox;
  end if;
end
$$;
comment on function dbmail_mesh.raise_line is 'Raises a high line, under its lock, because something becomes visible there.';

-- Logins.

create function dbmail_mesh.note_login() returns trigger
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
comment on function dbmail_mesh.note_login is 'Notes a login: the mailboxes of this user may be read from now on.';

create trigger _900_dbmail_mesh_login after update of last_login on public.dbmail_users
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.note_login();
comment on trigger _900_dbmail_mesh_login on public.dbmail_users is 'Notes who may be reading.';

create function dbmail_mesh.note_public_owner() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.presence (user_idnr, seen_at) values (new.user_idnr, 'infinity') on conflict do nothing;
  return null;
exception when others then
  raise warning 'dbmail-mesh: public mailboxes could not be noted as read: %', sqlerrm;
  return null;
end
$$;
comment on function dbmail_mesh.note_public_owner is 'Public mailboxes always count as read.';

create trigger _900_dbmail_mesh_public after insert on public.dbmail_users
  for each row when (new.userid = '__public__')
  execute function dbmail_mesh.note_public_owner();
comment on trigger _900_dbmail_mesh_public on public.dbmail_users is 'Notes that public mailboxes may be read at any time.';

create function dbmail_mesh.forget_login() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from dbmail_mesh.presence p where p.user_idnr = old.user_idnr;
  return null;
exception when others then
  raise warning 'dbmail-mesh: the logins of user % could not be forgotten: %', old.userid, sqlerrm;
  return null;
end
$$;
comment on function dbmail_mesh.forget_login is 'A user who is gone does not read.';

create trigger _900_dbmail_mesh_gone after delete on public.dbmail_users
  for each row execute function dbmail_mesh.forget_login();
comment on trigger _900_dbmail_mesh_gone on public.dbmail_users is 'Forgets the logins of a user who is gone.';

-- Other signs.

create function dbmail_mesh.note_reader(mailbox bigint, what "char") returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  until timestamptz;
begin
  select dbmail_mesh.read_until(l.mailbox_idnr, l.owner_idnr) into until from dbmail_mesh.line l where l.mailbox_idnr = mailbox;
  -- Whoever is known to be here adds nothing.
  insert into dbmail_mesh.reader_sign (mailbox_idnr, sign)
  select mailbox, what from dbmail_mesh.local_node n where until is null or until < clock_timestamp() + n.presence / 2;
end
$$;
comment on function dbmail_mesh.note_reader is 'Notes a sign of a reader, where the mailbox does not count as read for long enough anyway.';

create function dbmail_mesh.note_select() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.note_reader(new.mailbox_idnr, 's'),
          set_config('dbmail_mesh.selected', new.mailbox_idnr::text, true);
  return new;
exception when others then
  raise warning 'dbmail-mesh: a reader of mailbox % could not be noted: %', new.mailbox_idnr, sqlerrm;
  return new;
end
$$;
comment on function dbmail_mesh.note_select is 'Notes that a mailbox was selected.';

-- Once a statement: the setting is seen by the row after the one that set it.
create trigger _100_dbmail_mesh_selected before update of recent_flag on public.dbmail_messages
  for each row when (old.recent_flag = 1 and new.recent_flag = 0 and old.message_idnr < 281474976710656
                     and current_setting('dbmail_mesh.selected', true) is distinct from new.mailbox_idnr::text
                     and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.note_select();
comment on trigger _100_dbmail_mesh_selected on public.dbmail_messages is 'Notes that somebody reads a mailbox.';

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
  perform dbmail_mesh.note('m', new.message_idnr), dbmail_mesh.note_reader(new.mailbox_idnr, 'f');
  return null;
end
$$;
comment on function dbmail_mesh.capture_flags is 'Stamps the flags that have changed, keeps the message''s MODSEQ, notes the message, and that somebody reads its mailbox.';

create function dbmail_mesh.note_share() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '250ms'
as $$
begin
  begin
    -- Whoever decides that nobody reads the mailbox has its line: he has ended by then, or he sees this.
    perform from dbmail_mesh.line l where l.mailbox_idnr = new.mailbox_id for share;
  exception when lock_not_available then
    raise warning 'dbmail-mesh: mailbox % is shared while it is being written to', new.mailbox_id;
  end;
  insert into dbmail_mesh.reader_sign (mailbox_idnr, seen_at, sign)
  select new.mailbox_id, 'infinity', 'a'
  where not exists (select from dbmail_mesh.reader_sign s where s.mailbox_idnr = new.mailbox_id and s.seen_at = 'infinity');
  return null;
exception when others then
  raise warning 'dbmail-mesh: shared mailbox % could not be noted as read: %', new.mailbox_id, sqlerrm;
  return null;
end
$$;
comment on function dbmail_mesh.note_share is 'A mailbox that is shared always counts as read.';

create function dbmail_mesh.note_unshare() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from public.dbmail_acl a where a.mailbox_id = old.mailbox_id) then
    delete from dbmail_mesh.reader_sign s where s.mailbox_idnr = old.mailbox_id and s.sign = 'a';
    insert into dbmail_mesh.reader_sign (mailbox_idnr, sign) values (old.mailbox_id, 'r');
  end if;
  return null;
exception when others then
  raise warning 'dbmail-mesh: mailbox % could not be noted as no longer shared: %', old.mailbox_id, sqlerrm;
  return null;
end
$$;
comment on function dbmail_mesh.note_unshare is 'A mailbox that is no longer shared counts as read for the time of presence.';

-- These fire whoever writes: an ACL that came over a link shares a mailbox as well.
create trigger _900_dbmail_mesh_shared after insert or update of mailbox_id on public.dbmail_acl
  for each row execute function dbmail_mesh.note_share();
comment on trigger _900_dbmail_mesh_shared on public.dbmail_acl is 'Notes that others may read a mailbox.';

create trigger _900_dbmail_mesh_unshared after delete on public.dbmail_acl
  for each row execute function dbmail_mesh.note_unshare();
comment on trigger _900_dbmail_mesh_unshared on public.dbmail_acl is 'Notes that a mailbox is no longer shared.';

-- The setting, and housekeeping.

create function dbmail_mesh.set_presence(wanted interval) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  before interval;
begin
  select n.presence into before from dbmail_mesh.local_node n;
  if before is not distinct from wanted then
    return;
  end if;
  -- Who was thought to be gone may have been here all the time.
  if before < wanted then
    update dbmail_mesh.presence p set seen_at = clock_timestamp()
    where p.seen_at < clock_timestamp() - before and p.seen_at > clock_timestamp() - wanted;
    update dbmail_mesh.reader_sign s set seen_at = clock_timestamp()
    where s.seen_at < clock_timestamp() - before and s.seen_at > clock_timestamp() - wanted;
  end if;
  update dbmail_mesh.local_node set presence = wanted;
end
$$;
comment on function dbmail_mesh.set_presence is 'For how long a login counts; null: every mailbox counts as read. The worker calls it with mesh.presence.';

create function dbmail_mesh.forget_signs(most bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from dbmail_mesh.reader_sign s
  where s.id in (select o.id from dbmail_mesh.reader_sign o
                 where exists (select from dbmail_mesh.reader_sign l where l.mailbox_idnr = o.mailbox_idnr
                                 and (l.seen_at, l.id) > (o.seen_at, o.id))
                    or not exists (select from public.dbmail_mailboxes m where m.mailbox_idnr = o.mailbox_idnr)
                 order by o.id limit most)
$$;
comment on function dbmail_mesh.forget_signs is 'Removes signs of readers after which there are later ones.';

-- What gives out numbers and what writes, now with the reported line.

create or replace function dbmail_mesh.await_line(mailbox bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '250ms'
as $$
declare
  found_high bigint;
begin
  -- Of a line that was missing it is not known who has read what.
  insert into dbmail_mesh.line (mailbox_idnr, owner_idnr, high, reported)
  select m.mailbox_idnr, m.owner_idnr,
         coalesce((select max(g.message_idnr) from public.dbmail_messages g
                   where g.mailbox_idnr = mailbox and g.message_idnr < 281474976710656), 0), 9223372036854775807
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
  perform dbmail_mesh.raise_line(mailbox, chosen);
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
    perform dbmail_mesh.raise_line(split_part(noted, ' ', 1)::bigint, split_part(noted, ' ', 4)::bigint);
  end if;
end
$$;

create or replace function dbmail_mesh.sweep_overtaking(mailbox bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  oldest pg_snapshot;
  top bigint;
  queued bigint;
  reported bigint;
begin
  -- Whoever held the line when a mark was left has ended once we hold it; whoever takes it after us sees the mark.
  perform from dbmail_mesh.line l where l.mailbox_idnr = mailbox for no key update;
  select max(o.uid) into top from dbmail_mesh.overtaking o where o.mailbox_idnr = mailbox;
  if top is null then
    return 0;
  end if;
  -- What nobody has been told of may stay below what has overtaken it: whoever comes from now on sees both.
  select dbmail_mesh.reported_of(l, dbmail_mesh.read_until(l.mailbox_idnr, l.owner_idnr)) into reported
  from dbmail_mesh.line l where l.mailbox_idnr = mailbox;
  -- The oldest mark stands for all: what it may have overtaken includes what the others may have.
  select o.seen into oldest from dbmail_mesh.overtaking o
  where o.mailbox_idnr = mailbox order by pg_snapshot_xmax(o.seen), o.uid limit 1;
  -- The rows are locked: one that is being expunged either is dead by now, or its expunge sees the entry. Whoever went without the
  -- lock may itself have been overtaken: its own transaction is none that its snapshot knows to be under way.
  with suspect as (
    select g.message_idnr, g.mailbox_idnr
    from public.dbmail_messages g
    where g.message_idnr in (
        select x.key from dbmail_mesh.outbox x
        where x.txid >= pg_snapshot_xmin(oldest) and not pg_visible_in_snapshot(x.txid, oldest) and x.kind = 'm' and x.key <= top
        union select o.uid from dbmail_mesh.overtaking o where o.mailbox_idnr = mailbox)
      and g.mailbox_idnr = mailbox and g.status < 2 and g.message_idnr <= reported
    order by g.message_idnr for no key update
  )
  insert into dbmail_mesh.late (birth_uid, mailbox_idnr, uid, row_idnr)
  select dbmail_mesh.birth_of(s.message_idnr), s.mailbox_idnr, s.message_idnr, s.message_idnr from suspect s
  on conflict do nothing;
  get diagnostics queued = row_count;
  delete from dbmail_mesh.overtaking o where o.mailbox_idnr = mailbox and o.uid <= top;
  perform dbmail_mesh.raise_line(mailbox, top);
  return queued;
end
$$;

drop function dbmail_mesh.lock_and_view(bigint[], bigint[]);
create function dbmail_mesh.lock_and_view(mailboxes bigint[], births bigint[], lowest bigint)
returns table (id bigint, state "char", uid bigint, high bigint, row_idnr bigint, mailbox_idnr bigint, row_mailbox bigint,
               flags smallint[], stamps bigint[], keywords jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.dbmail_mailboxes m where m.mailbox_idnr = any (mailboxes) order by m.mailbox_idnr for key share;
  perform from dbmail_mesh.line l where l.mailbox_idnr = any (mailboxes) order by l.mailbox_idnr for no key update;
  -- Statements of their own: their snapshots are newer than the locks.
  -- Where it matters that somebody is not here, he does not come before this has ended. Of those who are, nothing has to be held: from
  -- now on the answer is the same.
  perform from public.dbmail_users u
  where u.user_idnr in (
    select l.owner_idnr from dbmail_mesh.line l
    where l.mailbox_idnr = any (mailboxes) and lowest <= dbmail_mesh.reported_of(l, 'infinity')
      and dbmail_mesh.reported_of(l, dbmail_mesh.read_until(l.mailbox_idnr, l.owner_idnr)) < dbmail_mesh.reported_of(l, 'infinity'))
  order by u.user_idnr for no key update;
  return query
    select l.mailbox_idnr, 'l'::"char", dbmail_mesh.reported_of(l, dbmail_mesh.read_until(l.mailbox_idnr, l.owner_idnr)),
           dbmail_mesh.reported_of(l, 'infinity'),
           null::bigint, l.mailbox_idnr, null::bigint, null::smallint[], null::bigint[], null::jsonb
    from dbmail_mesh.line l join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
    where l.mailbox_idnr = any (mailboxes)
      and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = l.mailbox_idnr);
  return query
    select v.birth_uid, v.state, v.uid, null::bigint, v.row_idnr, v.mailbox_idnr, v.row_mailbox, v.flags, v.stamps, v.keywords
    from dbmail_mesh.view_states(births) v;
end
$$;
comment on function dbmail_mesh.lock_and_view is 'Locks mailboxes and their lines, and tells the lines (state l: id is the mailbox, uid its reported line, high its high line) and what is known of the messages (as view_states). A mailbox that is gone, or about to go, has no line. Users who are not here, and whose mailboxes have shown a UID from lowest on, cannot log in before the transaction ends.';

create or replace function dbmail_mesh.write_plan(plan jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  touched bigint[];
  died bigint[];
  shown bigint[];
  crossed bigint[];
  source smallint := (plan ->> 'origin')::smallint;
begin
  touched := dbmail_mesh.touched_by(plan);
  crossed := dbmail_mesh.raise_seq(plan, touched);
  perform dbmail_mesh.lock_planned_rows(plan -> 'rows');

  -- Ascending, as everywhere; a number belongs to one message for ever.
  insert into dbmail_mesh.number (uid, birth_uid, decided_by, decided_at)
  select e.uid, e.birth, e.decided_by, e.decided_at
  from jsonb_to_recordset(plan -> 'numbers') as e(uid bigint, birth bigint, decided_by smallint, decided_at timestamptz)
  order by e.uid
  on conflict do nothing;
  if exists (select from (select birth, uid from jsonb_to_recordset(plan -> 'take') as e(birth bigint, uid bigint)
                          union all select birth, uid from jsonb_to_recordset(plan -> 'move') as e(birth bigint, uid bigint)) e
             where e.uid <> e.birth
               and not exists (select from dbmail_mesh.number n where n.uid = e.uid and n.birth_uid = e.birth)) then
    raise exception 'a message was to get a number of which nothing is known'
      using hint = 'Nothing was written. This is a defect of dbmail-mesh: please report it.';
  end if;

  died := dbmail_mesh.write_kills(plan -> 'kill') || dbmail_mesh.write_stows(plan -> 'stow');
  shown := dbmail_mesh.write_moves(plan -> 'move') || dbmail_mesh.write_takes(plan -> 'take');
  perform dbmail_mesh.write_hides(plan -> 'hide');
  perform dbmail_mesh.write_waits(plan -> 'wait');
  -- All whose marks or MODSEQ change, in one go: ascending.
  perform from public.dbmail_messages g
  where g.message_idnr in (select e.now_idnr from jsonb_to_recordset(plan -> 'modseq') as e(now_idnr bigint)
                           union all select e.row_idnr from jsonb_to_recordset(plan -> 'passed') as e(row_idnr bigint))
  order by g.message_idnr for no key update;
  perform dbmail_mesh.write_marks(plan -> 'mark', plan -> 'mark_keywords');
  perform dbmail_mesh.write_modseqs(plan -> 'modseq', crossed);
  perform dbmail_mesh.write_registers(plan -> 'registers', plan -> 'keyword_registers', plan -> 'rescued');

  perform dbmail_mesh.raise_line(e.mailbox, e.high)
  from (select e.mailbox, max(e.uid) as high
        from (select mailbox, uid from jsonb_to_recordset(plan -> 'take') as e(mailbox bigint, uid bigint)
              union all select mailbox, uid from jsonb_to_recordset(plan -> 'move') as e(mailbox bigint, uid bigint)) e
        group by e.mailbox) e;

  perform dbmail_mesh.note_plan(plan, source);
  perform dbmail_mesh.write_tides(plan, touched);
  perform dbmail_mesh.write_sizes(shown, died);
  if (plan ->> 'steps_back')::boolean and plan ? 'move' and dbmail_mesh.is_waited_for() then
    raise exception 'a session waits for a message that was to be renumbered'
      using errcode = 'lock_not_available', hint = 'It goes first; the renumber is tried again.';
  end if;
end
$$;

create view dbmail_mesh.reported_lines as
select u.userid as owner, m.name as mailbox, l.mailbox_idnr, l.high, dbmail_mesh.reported_of(l, r.until) as reported,
       r.until as read_until,
       case when n.presence is null then 'every mailbox counts as read: mesh.presence is "always"'
            when r.login = 'infinity' then 'it is public'
            when r.shared then 'it is shared'
            when r.until is null then 'nobody who may read it has ever come'
            when r.until < l.raised_at and r.until < clock_timestamp() then 'nobody has come for longer than mesh.presence'
            when r.until < clock_timestamp() then 'nobody has come for longer than mesh.presence, and nothing new since'
            when r.login + n.presence = r.until then 'its owner has logged in'
            else 'somebody reads it: ' || case r.sign when 'f' then 'a flag was changed' when 's' then 'it was selected'
                                                      else 'it was shared' end
            end as why
from dbmail_mesh.line l
cross join dbmail_mesh.local_node n
join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
left join public.dbmail_users u on u.user_idnr = m.owner_idnr
cross join lateral (
  select dbmail_mesh.read_until(l.mailbox_idnr, l.owner_idnr) as until,
         (select p.seen_at from dbmail_mesh.presence p where p.user_idnr = l.owner_idnr) as login,
         exists (select from dbmail_mesh.reader_sign s where s.mailbox_idnr = l.mailbox_idnr and s.seen_at = 'infinity') as shared,
         (select s.sign from dbmail_mesh.reader_sign s where s.mailbox_idnr = l.mailbox_idnr order by s.seen_at desc, s.id desc limit 1)
           as sign) r;
comment on view dbmail_mesh.reported_lines is 'Which UIDs clients of this node may have been told of, and why. What arrives with a UID above reported is shown as it is; the rest gets a new one.';
comment on column dbmail_mesh.reported_lines.owner is 'userid of the mailbox''s owner.';
comment on column dbmail_mesh.reported_lines.mailbox is 'Name of the mailbox.';
comment on column dbmail_mesh.reported_lines.mailbox_idnr is 'Its id, and UIDVALIDITY.';
comment on column dbmail_mesh.reported_lines.high is 'Its high line: the highest UID ever visible here.';
comment on column dbmail_mesh.reported_lines.reported is 'Its reported line.';
comment on column dbmail_mesh.reported_lines.read_until is 'Until when it may be read, as far as this node knows; null: by nobody.';
comment on column dbmail_mesh.reported_lines.why is 'What says so.';

-- Whoever came before is known by dbmail's own column, in the local time of a server that may be anywhere.
insert into dbmail_mesh.presence (user_idnr, seen_at)
select u.user_idnr, case when u.userid = '__public__' then 'infinity'
                         else least(u.last_login at time zone 'UTC' + interval '1 day', clock_timestamp()) end
from public.dbmail_users u
where u.userid = '__public__' or u.last_login > '1979-11-03 22:05:58'
on conflict do nothing;
insert into dbmail_mesh.reader_sign (mailbox_idnr, seen_at, sign)
select distinct a.mailbox_id, 'infinity'::timestamptz, 'a'::"char" from public.dbmail_acl a;

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (17, 'readers');
