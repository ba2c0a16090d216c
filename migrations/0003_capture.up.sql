-- dbmail-mesh 0003: what changes here is noted in the outbox, in the same transaction: a key, no payload.
--
-- No trigger on UPDATE or DELETE of dbmail_messages takes a line row's lock: line, messages, seq in that order gave dbmail
-- deadlocks. Triggers are silent for what the worker applies (transaction-local setting dbmail_mesh.applying).

set local lock_timeout = '250ms';

-- NOTIFY in every transaction would serialise commits, so it rings only while a reader sleeps. A sleeping reader holds this
-- advisory lock shared; if the try succeeds, nobody sleeps. A try that fails because another trigger tries at that very moment
-- rings once too often, which does no harm.
create function dbmail_mesh.ring() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_try_advisory_lock(1684169069, 1) then
    perform pg_advisory_unlock(1684169069, 1);
  else
    perform pg_notify('dbmail_mesh', '');
  end if;
end
$$;
comment on function dbmail_mesh.ring is 'Wakes the worker if it sleeps.';

create function dbmail_mesh.birth_of(uid bigint) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select coalesce((select n.birth_uid from dbmail_mesh.number n where n.uid = birth_of.uid),
                  (select l.birth_uid from dbmail_mesh.late l where l.row_idnr = birth_of.uid), birth_of.uid)
$$;
comment on function dbmail_mesh.birth_of is 'The first UID of the message that has, or had, this UID or row number.';

create function dbmail_mesh.capture_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.outbox (kind, key) values ('m', new.message_idnr);
  perform dbmail_mesh.ring();
  return null;
end
$$;
comment on function dbmail_mesh.capture_message is 'Notes a new message.';

create function dbmail_mesh.capture_expunge() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.tombstone (birth_uid, uid, mailbox_idnr)
  values (dbmail_mesh.birth_of(old.message_idnr), old.message_idnr, old.mailbox_idnr)
  on conflict do nothing;
  -- It needs no new number any more.
  delete from dbmail_mesh.late l where l.row_idnr = old.message_idnr;
  insert into dbmail_mesh.outbox (kind, key) values ('m', old.message_idnr);
  perform dbmail_mesh.ring();
  return null;
end
$$;
comment on function dbmail_mesh.capture_expunge is 'Notes that a visible message was expunged, for ever.';

-- A whole folder may go at once: one statement for all of its messages.
create function dbmail_mesh.capture_deletes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.tombstone (birth_uid, uid, mailbox_idnr)
  select dbmail_mesh.birth_of(g.message_idnr), g.message_idnr, g.mailbox_idnr
  from gone g where g.status < 2 and g.message_idnr < 281474976710656
  order by 1
  on conflict do nothing;
  if not found then
    return null;
  end if;
  delete from dbmail_mesh.late l using gone g where l.row_idnr = g.message_idnr and g.message_idnr < 281474976710656;
  insert into dbmail_mesh.outbox (kind, key)
  select 'm', g.message_idnr from gone g where g.status < 2 and g.message_idnr < 281474976710656;
  perform dbmail_mesh.ring();
  return null;
end
$$;
comment on function dbmail_mesh.capture_deletes is 'Notes visible messages that were deleted, with their mailbox or by themselves: they are dead for ever.';

create function dbmail_mesh.capture_mailbox() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.line (mailbox_idnr, owner_idnr) values (new.mailbox_idnr, new.owner_idnr) on conflict do nothing;
  if current_setting('dbmail_mesh.applying', true) is distinct from 'on'
     and not exists (select from public.dbmail_users u
                     where u.user_idnr = new.owner_idnr and u.userid = '__@!internal_delivery_user!@__') then
    insert into dbmail_mesh.outbox (kind, key) values ('b', new.mailbox_idnr);
    perform dbmail_mesh.ring();
  end if;
  return null;
end
$$;
comment on function dbmail_mesh.capture_mailbox is 'Gives a new mailbox its line row, and notes it.';

create function dbmail_mesh.capture_user() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.outbox (kind, key) values ('u', new.user_idnr);
  perform dbmail_mesh.ring();
  return null;
end
$$;
comment on function dbmail_mesh.capture_user is 'Notes a new user.';

-- Rows above 2^48 are staging: dbmail's own, and late messages in hiding.
create trigger _900_dbmail_mesh_new after insert on public.dbmail_messages
  for each row when (new.message_idnr < 281474976710656 and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_message();
comment on trigger _900_dbmail_mesh_new on public.dbmail_messages is 'Notes a new message for the peers.';

create trigger _900_dbmail_mesh_expunged after update of status on public.dbmail_messages
  for each row when (old.status < 2 and new.status >= 2 and old.message_idnr < 281474976710656
                     and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_expunge();
comment on trigger _900_dbmail_mesh_expunged on public.dbmail_messages is 'Notes an expunge for the peers.';

create trigger _900_dbmail_mesh_deleted after delete on public.dbmail_messages
  referencing old table as gone
  for each statement when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_deletes();
comment on trigger _900_dbmail_mesh_deleted on public.dbmail_messages is 'Notes the deletion of visible messages (with their mailbox, say) for the peers.';

create trigger _900_dbmail_mesh_new after insert on public.dbmail_mailboxes
  for each row execute function dbmail_mesh.capture_mailbox();
comment on trigger _900_dbmail_mesh_new on public.dbmail_mailboxes is 'Gives a new mailbox its line row, and notes it for the peers.';

create trigger _900_dbmail_mesh_new after insert on public.dbmail_users
  for each row when (new.userid not in ('__@!internal_delivery_user!@__', '__public__', 'anyone')
                     and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_user();
comment on trigger _900_dbmail_mesh_new on public.dbmail_users is 'Notes a new user for the peers.';

insert into dbmail_mesh.migration (version, name) values (3, 'capture');
