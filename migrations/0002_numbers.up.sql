-- dbmail-mesh 0002: who hands out which number.
--
-- Each node hands out UIDs of its own residue class modulo the stride, per mailbox in commit order: the number is chosen under
-- a lock on the mailbox's line row that is held until commit. dbmail takes the number that RETURNING gives.
-- dbmail's role needs no new right: the functions run as their owner, with a pinned search_path.

-- A forward-only jump by drawing numbers, in place of setval: setval races with a plain nextval and can move a sequence
-- backwards, which would hand out a number twice. Sessions that jump at the same time share the work.
create function dbmail_mesh.draw_above(seq regclass, step bigint, above bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  drawn bigint := nextval(seq);
begin
  while drawn <= above loop
    select max(nextval(seq)) into drawn from generate_series(1, least(1000, (above - drawn) / step + 1));
  end loop;
  return drawn;
end
$$;
comment on function dbmail_mesh.draw_above is 'The next number of a strided sequence that is above the given one. Never moves a sequence back.';

create function dbmail_mesh.next_uid(above bigint) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  select dbmail_mesh.draw_above('public.dbmail_message_idnr_seq', n.stride, above) from dbmail_mesh.local_node n
$$;
comment on function dbmail_mesh.next_uid is 'The next UID of this node''s class that is above the given one.';

-- The owner's INBOX stands in for a mailbox that is gone: sessions of dbmail cache mailbox ids, and without this the mail is lost
-- (the foreign key fails the INSERT, dbmail swallows the error and answers OK). Locks it as a delivery does.
create function dbmail_mesh.stand_in_for(gone bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  owner bigint;
  inbox bigint;
begin
  select l.owner_idnr into owner from dbmail_mesh.line l
    join public.dbmail_users u on u.user_idnr = l.owner_idnr
  where l.mailbox_idnr = gone;
  if owner is null then
    return null;
  end if;
  select m.mailbox_idnr into inbox from public.dbmail_mailboxes m where m.owner_idnr = owner and lower(m.name) = 'inbox' for key share;
  if inbox is null then
    insert into public.dbmail_mailboxes (owner_idnr, name) values (owner, 'INBOX') on conflict do nothing;
    select m.mailbox_idnr into inbox from public.dbmail_mailboxes m where m.owner_idnr = owner and lower(m.name) = 'inbox' for key share;
  end if;
  return inbox;
end
$$;
comment on function dbmail_mesh.stand_in_for is 'INBOX of the owner of a mailbox that is gone; null when the owner is gone too.';

-- Waits for a line row, for half a second at the most (a row lock may be two waits). A delivery must never wait longer for us.
create function dbmail_mesh.await_line(mailbox bigint) returns bigint
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
comment on function dbmail_mesh.await_line is 'Locks a mailbox''s line row, makes it when it is missing, and returns its high line. Gives up after the lock time-out.';

create function dbmail_mesh.number_in(mailbox bigint) returns bigint
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
comment on function dbmail_mesh.number_in is 'A UID for a new message of a mailbox, above its high line, under the line''s lock.';

-- The way out when the line cannot be had in time. The number is above all that is committed; whoever was overtaken by it is
-- found by sweep_overtaking() and renumbered by a settlement.
create function dbmail_mesh.number_without_lock(mailbox bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  chosen bigint;
begin
  chosen := dbmail_mesh.next_uid(greatest(
    (select l.high from dbmail_mesh.line l where l.mailbox_idnr = mailbox),
    (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = mailbox), 0));
  insert into dbmail_mesh.overtaking (uid, mailbox_idnr) values (chosen, mailbox);
  return chosen;
end
$$;
comment on function dbmail_mesh.number_without_lock is 'A UID for a new message of a mailbox whose line is locked for too long.';

create function dbmail_mesh.number_new_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  is_staging boolean;
  redirected bigint;
begin
  -- The mailbox before its line: the other way round a DELETE of the mailbox deadlocks with a delivery, and the mail is lost.
  -- dbmail's own foreign key waits for the same lock.
  select u.userid = '__@!internal_delivery_user!@__' into is_staging
  from public.dbmail_mailboxes m left join public.dbmail_users u on u.user_idnr = m.owner_idnr
  where m.mailbox_idnr = new.mailbox_idnr for key share of m;
  if is_staging then
    new.message_idnr := nextval('dbmail_mesh.staging_idnr_seq');
    return new;
  end if;
  -- An error of ours would lose mail: dbmail swallows it and answers OK. Hence the ways out.
  if is_staging is null then
    begin
      redirected := dbmail_mesh.stand_in_for(new.mailbox_idnr);
      new.mailbox_idnr := coalesce(redirected, new.mailbox_idnr);
    exception when others then
      redirected := null;
    end;
  end if;
  begin
    new.message_idnr := dbmail_mesh.number_in(new.mailbox_idnr);
  exception when others then
    begin
      new.message_idnr := dbmail_mesh.number_without_lock(new.mailbox_idnr);
    exception when others then
      new.message_idnr := nextval('public.dbmail_message_idnr_seq');
    end;
  end;
  if redirected is not null then
    -- dbmail will bump the mailbox that it thinks of; open sessions look at this one.
    update public.dbmail_mailboxes set seq = seq + 1 where mailbox_idnr = redirected;
  end if;
  return new;
end
$$;
comment on function dbmail_mesh.number_new_message is 'Gives a new row of dbmail_messages its UID.';

-- Rather give up (and be run again) than hold dbmail up behind somebody's long transaction, and well before dbmail's deadlock check.
set local lock_timeout = '250ms';

do $$
declare
  node dbmail_mesh.local_node;
  mailbox_floor bigint := greatest(current_setting('dbmail_mesh.mailbox_floor')::bigint, 0);
  message_last bigint;
  mailbox_last bigint;
begin
  -- Waits for deliveries under way, and holds new ones for the rest of this short file.
  lock table public.dbmail_messages, public.dbmail_mailboxes in access exclusive mode;
  select * into node from dbmail_mesh.local_node;
  select greatest(case when is_called then last_value else last_value - 1 end, node.uid_floor,
                  (select max(message_idnr) from public.dbmail_messages where message_idnr < 281474976710656))
    into message_last from public.dbmail_message_idnr_seq;
  select greatest(case when is_called then last_value else last_value - 1 end, mailbox_floor,
                  (select max(mailbox_idnr) from public.dbmail_mailboxes))
    into mailbox_last from public.dbmail_mailbox_idnr_seq;
  -- The first number of the node's class above all that is in use.
  execute format('alter sequence public.dbmail_message_idnr_seq increment by %s restart with %s', node.stride,
    message_last + 1 + mod(mod(node.node_id - message_last - 1, node.stride) + node.stride, node.stride));
  execute format('alter sequence public.dbmail_mailbox_idnr_seq increment by %s restart with %s', node.stride,
    mailbox_last + 1 + mod(mod(node.node_id - mailbox_last - 1, node.stride) + node.stride, node.stride));
  -- Backwards through the primary key: no scan of the table.
  update dbmail_mesh.local_node set uid_floor = message_last, adopted_uid = coalesce(
    (select g.message_idnr from public.dbmail_messages g
      join public.dbmail_mailboxes m using (mailbox_idnr) left join public.dbmail_users u on u.user_idnr = m.owner_idnr
      where u.userid is distinct from '__@!internal_delivery_user!@__'
      order by g.message_idnr desc limit 1), 0);
end
$$;

-- The default would burn a number before the trigger runs.
alter table public.dbmail_messages alter column message_idnr drop default;

create trigger _100_dbmail_mesh_number before insert on public.dbmail_messages
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.number_new_message();
comment on trigger _100_dbmail_mesh_number on public.dbmail_messages is 'Chooses the UID of a new message.';

insert into dbmail_mesh.migration (version, name) values (2, 'numbers');
