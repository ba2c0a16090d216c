-- dbmail-mesh 0011: rows that change their mailbox, that come back from the dead, or that are meant for a mailbox that is gone.
--
-- A message that moves stays the message that it is. It keeps its UID where that is above all that the new mailbox has shown (a RENAME
-- of INBOX, say), or gets a new one of this node. A row trigger of an UPDATE holds the row already; it waits for a line for less than
-- PostgreSQL takes to look for deadlocks, and then goes without.

set local lock_timeout = '250ms';

create function dbmail_mesh.is_staging(mailbox bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select exists (select from public.dbmail_mailboxes m where m.mailbox_idnr = mailbox and dbmail_mesh.is_staging_owner(m.owner_idnr))
$$;
comment on function dbmail_mesh.is_staging is 'Whether a mailbox is dbmail''s staging area.';

create function dbmail_mesh.inbox_of(owner bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  inbox bigint;
begin
  if owner is null or not exists (select from public.dbmail_users u where u.user_idnr = owner)
     or exists (select from dbmail_mesh.account a where a.user_idnr = owner and a.died_at is not null) then
    return null;
  end if;
  for attempt in 1..2 loop
    exit when inbox is not null;
    select m.mailbox_idnr into inbox
    from public.dbmail_mailboxes m
    where m.owner_idnr = owner and lower(m.name) = 'inbox'
      and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = m.mailbox_idnr)
    order by m.mailbox_idnr desc limit 1;
    exit when inbox is not null;
    insert into public.dbmail_mailboxes (owner_idnr, name, seq) values (owner, 'INBOX', 1) on conflict do nothing
    returning mailbox_idnr into inbox;
    if inbox is not null then
      -- Under the worker's hand the trigger is silent.
      perform dbmail_mesh.note('b', inbox);
    end if;
  end loop;
  return inbox;
end
$$;
comment on function dbmail_mesh.inbox_of is 'INBOX of a user, made when it is missing; null when the user is gone or about to go.';

create function dbmail_mesh.is_mere_name(mailbox bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select exists (select from public.dbmail_mailboxes m join dbmail_mesh.mailbox_register r on r.mailbox_idnr = m.mailbox_idnr
                 where m.mailbox_idnr = mailbox and m.no_select = 1 and r.no_select_stamp > 0 and lower(m.name) <> 'inbox')
$$;
comment on function dbmail_mesh.is_mere_name is 'Whether a mailbox was deleted but for its name, because it has children: no client can select it.';

create function dbmail_mesh.place_of(wanted bigint, out place bigint, out verdict "char")
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  place := dbmail_mesh.mailbox_of(wanted);
  verdict := case when place = wanted then 'a' else 'm' end;
  if not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = place)
     and exists (select from public.dbmail_mailboxes m where m.mailbox_idnr = place) and not dbmail_mesh.is_mere_name(place) then
    return;
  end if;
  select i.inbox, case when i.inbox is null then 'k' else 'r' end into place, verdict
  from dbmail_mesh.line l cross join lateral dbmail_mesh.inbox_of(l.owner_idnr) i(inbox)
  where l.mailbox_idnr = place;
  if not found then
    verdict := 'u';
  end if;
end
$$;
comment on function dbmail_mesh.place_of is 'Where mail for a mailbox belongs on this node: a as it is; m merged into that one; r rescued, for it was deleted: the owner''s INBOX; k nowhere, for its owner was deleted: it is kept aside; u the mailbox is not known here.';

-- What arrives for somebody who was deleted a moment ago is acknowledged by dbmail, so it is kept where nobody is shown it.
create function dbmail_mesh.keep_aside(inout m public.dbmail_messages)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  birth bigint := dbmail_mesh.next_uid(0);
begin
  insert into dbmail_mesh.late (birth_uid, mailbox_idnr, uid, row_idnr, status)
  values (birth, m.mailbox_idnr, birth, nextval('dbmail_mesh.staging_idnr_seq'), m.status)
  returning row_idnr into m.message_idnr;
  m.mailbox_idnr := dbmail_mesh.staging_mailbox();
  m.status := 5;
  perform dbmail_mesh.note('m', birth);
end
$$;
comment on function dbmail_mesh.keep_aside is 'Turns a new row for a mailbox whose owner is gone into one that is kept aside.';

create function dbmail_mesh.number_or_way_out(mailbox bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return dbmail_mesh.number_in(mailbox);
exception when others then
  begin
    return dbmail_mesh.number_without_lock(mailbox);
  exception when others then
    return nextval('public.dbmail_message_idnr_seq');
  end;
end
$$;
comment on function dbmail_mesh.number_or_way_out is 'A UID for a new message of a mailbox, whatever happens: an error would lose mail, for dbmail swallows it and answers OK.';

create function dbmail_mesh.number_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  staging boolean;
  target bigint := new.mailbox_idnr;
  verdict "char" := 'a';
begin
  -- The mailbox before its line: the other way round a DELETE of the mailbox deadlocks with a delivery, and the mail is lost.
  -- dbmail's own foreign key waits for the same lock.
  select u.userid = '__@!internal_delivery_user!@__' into staging
  from public.dbmail_mailboxes m left join public.dbmail_users u on u.user_idnr = m.owner_idnr
  where m.mailbox_idnr = new.mailbox_idnr for key share of m;
  if staging then
    new.message_idnr := nextval('dbmail_mesh.staging_idnr_seq');
    return new;
  end if;
  -- Sessions of dbmail cache mailbox ids: without this, mail for one that is gone is lost.
  if staging is null or exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = new.mailbox_idnr) then
    begin
      select p.place, p.verdict into target, verdict from dbmail_mesh.place_of(new.mailbox_idnr) p;
      if verdict = 'k' then
        new := dbmail_mesh.keep_aside(new);
        return new;
      end if;
      perform from public.dbmail_mailboxes m where m.mailbox_idnr = target for key share;
      if found then
        new.mailbox_idnr := target;
      end if;
    exception when others then
      verdict := 'u';
    end;
  end if;
  new.message_idnr := dbmail_mesh.number_or_way_out(new.mailbox_idnr);
  if verdict in ('m', 'r') then
    -- dbmail will bump the mailbox that it thinks of; open sessions look at this one.
    update public.dbmail_mailboxes set seq = seq + 1 where mailbox_idnr = new.mailbox_idnr;
  end if;
  return new;
end
$$;
comment on function dbmail_mesh.number_message is 'Gives a new row of dbmail_messages its UID, and a place where its mailbox is gone.';

drop trigger _100_dbmail_mesh_number on public.dbmail_messages;
create trigger _100_dbmail_mesh_number before insert on public.dbmail_messages
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.number_message();
comment on trigger _100_dbmail_mesh_number on public.dbmail_messages is 'Chooses the UID of a new message.';

-- All rows that one statement moves become visible at once: each may keep its UID if that is above what was there before the statement.
-- The setting remembers that, and how far the line has come, from the first row to the last: the line's row is locked once and written
-- once. Each version of it would be walked through for every row to come.
create function dbmail_mesh.number_moved(mailbox bigint, uid bigint, due bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  this text := concat_ws(' ', mailbox, extract(epoch from statement_timestamp()), '');
  noted text := current_setting('dbmail_mesh.move', true);
  before_move bigint;
  known_high bigint;
  chosen bigint := uid;
begin
  if starts_with(noted, this) then
    before_move := split_part(noted, ' ', 3)::bigint;
    known_high := split_part(noted, ' ', 4)::bigint;
  else
    perform dbmail_mesh.raise_moved_line();
    before_move := dbmail_mesh.await_line(mailbox);
    before_move := greatest(before_move, (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = mailbox));
    known_high := before_move;
  end if;
  if uid <= before_move or due is not null then
    chosen := dbmail_mesh.next_uid(greatest(known_high, due));
  end if;
  perform set_config('dbmail_mesh.move', this || concat_ws(' ', before_move, greatest(known_high, chosen)), true);
  return chosen;
end
$$;
comment on function dbmail_mesh.number_moved is 'The UID of a message that moves into a mailbox: the one that it has, where the mailbox has shown nothing above it; else a new one.';

create function dbmail_mesh.raise_moved_line() returns void
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
comment on function dbmail_mesh.raise_moved_line is 'Raises the line of the mailbox into which a statement has moved messages.';

create function dbmail_mesh.end_move() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.raise_moved_line();
  return null;
exception when others then
  raise warning 'dbmail-mesh: the line of a mailbox could not be raised: %', sqlerrm;
  return null;
end
$$;
comment on function dbmail_mesh.end_move is 'Raises the line once all rows of a statement are moved.';

create function dbmail_mesh.number_moved_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  target bigint;
  due bigint;
  this text;
begin
  if old.status >= 2 or dbmail_mesh.is_staging(new.mailbox_idnr) or dbmail_mesh.is_staging(old.mailbox_idnr) then
    return new;
  end if;
  begin
    perform from public.dbmail_mailboxes m where m.mailbox_idnr = new.mailbox_idnr for key share;
    -- Locked first: one that is just being taken out has gone by now, or stays until we have ended.
    if not found or exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = new.mailbox_idnr) then
      select p.place into target from dbmail_mesh.place_of(new.mailbox_idnr) p;
      new.mailbox_idnr := coalesce(target, new.mailbox_idnr);
      perform from public.dbmail_mailboxes m where m.mailbox_idnr = new.mailbox_idnr for key share;
    end if;
    select l.uid into due from dbmail_mesh.late l where l.row_idnr = old.message_idnr;
    this := concat_ws(' ', new.mailbox_idnr, extract(epoch from statement_timestamp()));
    if current_setting('dbmail_mesh.moves_without_line', true) = this then
      perform dbmail_mesh.next_uid(greatest(old.message_idnr, due));
      new.message_idnr := dbmail_mesh.number_without_lock(new.mailbox_idnr);
    else
      new.message_idnr := dbmail_mesh.number_moved(new.mailbox_idnr, old.message_idnr, due);
    end if;
  exception when others then
    -- The rows that it has moved already are locked: it waits once a statement and not once a row, or whoever waits for one of them and
    -- has the line would find a deadlock.
    perform set_config('dbmail_mesh.moves_without_line', this, true);
    -- A message's UID only rises: what is drawn from now on is above those that it had.
    perform dbmail_mesh.next_uid(greatest(old.message_idnr, due));
    new.message_idnr := dbmail_mesh.number_or_way_out(new.mailbox_idnr);
  end;
  return new;
end
$$;
comment on function dbmail_mesh.number_moved_message is 'Gives a row that changes its mailbox a UID that may be shown there.';

create function dbmail_mesh.capture_moved() returns trigger
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
comment on function dbmail_mesh.capture_moved is 'Notes a message that was moved to another mailbox.';

create trigger _100_dbmail_mesh_moved before update of mailbox_idnr on public.dbmail_messages
  for each row when (old.mailbox_idnr is distinct from new.mailbox_idnr and old.message_idnr < 281474976710656
                     and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.number_moved_message();
comment on trigger _100_dbmail_mesh_moved on public.dbmail_messages is 'Chooses the UID of a message that is moved.';

create trigger _910_dbmail_mesh_moved after update of mailbox_idnr on public.dbmail_messages
  for each statement when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.end_move();
comment on trigger _910_dbmail_mesh_moved on public.dbmail_messages is 'Raises the line of the mailbox into which messages were moved.';

create trigger _900_dbmail_mesh_moved after update of mailbox_idnr on public.dbmail_messages
  for each row when (old.mailbox_idnr is distinct from new.mailbox_idnr and new.message_idnr < 281474976710656 and old.status < 2
                     and new.status < 2 and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_moved();
comment on trigger _900_dbmail_mesh_moved on public.dbmail_messages is 'Notes a moved message for the peers.';

-- An expunge is final. A row that is brought back (by an admin, or by an APPEND that an expunge overtook) is a new message.
create function dbmail_mesh.number_revived_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if not dbmail_mesh.is_staging(new.mailbox_idnr) then
    perform from public.dbmail_mailboxes m where m.mailbox_idnr = new.mailbox_idnr for key share;
    new.message_idnr := dbmail_mesh.number_or_way_out(new.mailbox_idnr);
  end if;
  return new;
end
$$;
comment on function dbmail_mesh.number_revived_message is 'Gives a row that comes back from the dead a UID that was never used.';

create function dbmail_mesh.capture_revived() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if new.message_idnr <> old.message_idnr then
    perform dbmail_mesh.note('m', new.message_idnr);
  end if;
  return null;
end
$$;
comment on function dbmail_mesh.capture_revived is 'Notes a message that came back from the dead as a new one.';

create trigger _100_dbmail_mesh_revived before update of status on public.dbmail_messages
  for each row when (old.status >= 2 and new.status < 2 and old.message_idnr < 281474976710656
                     and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.number_revived_message();
comment on trigger _100_dbmail_mesh_revived on public.dbmail_messages is 'Gives a message that was dead a new UID.';

create trigger _900_dbmail_mesh_revived after update of status on public.dbmail_messages
  for each row when (old.status >= 2 and new.status < 2 and new.message_idnr < 281474976710656
                     and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_revived();
comment on trigger _900_dbmail_mesh_revived on public.dbmail_messages is 'Notes for the peers what was dead and is here again.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (11, 'moves');
