-- dbmail-mesh 0020: members that come, go, and come back.
--
-- A node that was restored from a backup has forgotten numbers that it handed out. Its peers find out by what they have of it, raise its
-- sequences above that at once, and take no more of it until it has joined anew. Joining anew forgets nothing of the mail: what the node
-- has, and what the others have, is joined as ever.

set local lock_timeout = '250ms';

alter table dbmail_mesh.cursor add column witness_id bigint, add column witness_xid xid8, add column witness_at timestamptz;
comment on column dbmail_mesh.cursor.witness_id is 'outbox.id of the last row of the source that was applied: while the source has not purged it, it has to have it.';
comment on column dbmail_mesh.cursor.witness_xid is 'outbox.txid of that row.';
comment on column dbmail_mesh.cursor.witness_at is 'outbox.at of that row: a node that does the same things again after a restore counts the same ids and transactions.';

alter table dbmail_mesh.peer add column left_at timestamptz;
comment on column dbmail_mesh.peer.left_at is 'When it was taken out of the mesh (dbmail-mesh leave): no outbox is kept for it, and it is refused until it joins again. Null: a member.';

alter table dbmail_mesh.local_node add column left_at timestamptz, add column left_why text, add column trimmed xid8, add column cut xid8;
comment on column dbmail_mesh.local_node.left_at is 'Since when no link touches this node, until it joins (again). Null: it is not so.';
comment on column dbmail_mesh.local_node.left_why is 'Why: it was taken out of the mesh (dbmail-mesh leave), or it has gone back in time.';
comment on column dbmail_mesh.local_node.trimmed is 'The outbox was cut short, and up to this transaction there was what some member had not acknowledged: who has not taken over all of it has to join again. Null: never.';
comment on column dbmail_mesh.local_node.cut is 'The last transaction of which anything was cut off at all.';

create table dbmail_mesh.former_incarnation (
  incarnation uuid primary key,
  ended_at timestamptz not null default clock_timestamp(),
  why text not null
);
comment on table dbmail_mesh.former_incarnation is 'What this database was before it joined anew.';
comment on column dbmail_mesh.former_incarnation.incarnation is 'local_node.incarnation until then.';
comment on column dbmail_mesh.former_incarnation.ended_at is 'When.';
comment on column dbmail_mesh.former_incarnation.why is 'Why it had to join anew.';

create function dbmail_mesh.highest_known(node smallint, out uid bigint, out mailbox bigint, out physmessage bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select greatest((select case when s.is_called then s.last_value else 0 end from public.dbmail_message_idnr_seq s),
                  (select max(g.message_idnr) from public.dbmail_messages g where g.message_idnr < 281474976710656),
                  (select max(n.uid) from dbmail_mesh.number n),
                  (select max(t.birth_uid) from dbmail_mesh.tombstone t),
                  (select max(l.uid) from dbmail_mesh.late l),
                  (select max(r.uid) from dbmail_mesh.reservation r),
                  (select max(i.high) from dbmail_mesh.line i), 0),
         greatest((select case when s.is_called then s.last_value else 0 end from public.dbmail_mailbox_idnr_seq s),
                  (select max(m.mailbox_idnr) from public.dbmail_mailboxes m),
                  (select max(f.mailbox_idnr) from dbmail_mesh.mailbox_fate f), 0),
         greatest((select max(c.origin_id) from dbmail_mesh.content c where c.origin_node = node), 0)
$$;
comment on function dbmail_mesh.highest_known is 'The highest numbers that are known here: UID and mailbox_idnr of any node, and the physmessage id of the given one.';

create function dbmail_mesh.raise_sequence(seq regclass, step bigint, known bigint, gap bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  last bigint;
begin
  -- One that was never called stands before its first number, which is in the node's class.
  execute format('select case when is_called then last_value else last_value - %s end from %s', step, seq) into last;
  if last >= known then
    return false;
  end if;
  perform setval(seq, last + ((known - last) / step + 1 + gap) * step);
  return true;
end
$$;
comment on function dbmail_mesh.raise_sequence is 'Moves a sequence above a known number by some steps more, within its class. False: it is there already.';

-- dbmail may be handing out numbers at this moment; to draw one by one up to there would take longer than it should have time for.
create function dbmail_mesh.fence(known_uid bigint, known_mailbox bigint, known_physmessage bigint, gap bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  step bigint := (select n.stride from dbmail_mesh.local_node n);
  raised boolean;
begin
  -- Whoever draws a UID holds this shared, for as long as that takes. The other two are dbmail's own calls of nextval, which take no lock:
  -- they are moved on by far more than anybody draws between the look and the jump.
  perform pg_advisory_lock(1684169069, 2);
  raised := dbmail_mesh.raise_sequence('public.dbmail_message_idnr_seq', step, known_uid, gap);
  perform pg_advisory_unlock(1684169069, 2);
  raised := dbmail_mesh.raise_sequence('public.dbmail_mailbox_idnr_seq', step, known_mailbox, 100) or raised;
  return dbmail_mesh.raise_sequence('public.dbmail_physmessage_id_seq', 1, known_physmessage, gap) or raised;
exception when query_canceled or others then
  perform pg_advisory_unlock(1684169069, 2);
  raise;
end
$$;
comment on function dbmail_mesh.fence is 'Sees to it that this node hands out no number again: its sequences go above those known, and by gap steps more for numbers that nobody knows of. True: one had to be raised.';

create function dbmail_mesh.stay_out(why text) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  update dbmail_mesh.local_node n set left_at = clock_timestamp(), left_why = why where n.left_at is null
$$;
comment on function dbmail_mesh.stay_out is 'Keeps all links and settlements from this node until it joins again; dbmail works on.';

create function dbmail_mesh.has_gone_back(witness bigint, xid xid8, noted_at timestamptz) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select witness is not null
     and not exists (select from dbmail_mesh.outbox o where o.id = witness and o.txid = xid and o.at = noted_at)
     -- It may have been purged, but only after somebody held it, or cut off.
     and xid >= coalesce((select max(pg_snapshot_xmin(a.snapshot)::text::bigint)::text::xid8 from dbmail_mesh.acknowledged a), '0'::xid8)
     and xid > coalesce((select n.cut from dbmail_mesh.local_node n), '0'::xid8)
$$;
comment on function dbmail_mesh.has_gone_back is 'Whether this node lacks a change that a target has applied, and so has forgotten what it did after a backup.';

-- As before, and: it stays within bounds.
drop function dbmail_mesh.purge_outbox(interval);
create function dbmail_mesh.purge_outbox(keep interval, most bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  below xid8;
  cut bigint;
  purged bigint := 0;
begin
  -- Where this database is not what it was, acknowledgements and transactions mean nothing, and what it has done is looked at by join.
  if exists (select from dbmail_mesh.overtaking)
     or exists (select from dbmail_mesh.local_node n cross join pg_control_system() c
                where n.left_at is not null or n.system_identifier <> c.system_identifier) then
    return 0;
  end if;
  -- Nothing before every peer has said what it holds; nothing while somebody may still have been overtaken.
  if exists (select from dbmail_mesh.peer p where p.left_at is null)
     and not exists (select from dbmail_mesh.peer p left join dbmail_mesh.acknowledged a on a.target_id = p.node_id
                     where a.target_id is null and p.left_at is null) then
    select pg_snapshot_xmin(a.snapshot) into below
    from dbmail_mesh.acknowledged a join dbmail_mesh.peer p on p.node_id = a.target_id and p.left_at is null
    order by pg_snapshot_xmin(a.snapshot) limit 1;
    delete from dbmail_mesh.outbox o
    where o.ctid = any (array(select x.ctid from dbmail_mesh.outbox x
                              where x.txid < below and x.at < clock_timestamp() - keep order by x.txid limit 10000));
    get diagnostics purged = row_count;
  end if;
  -- The ids tell how many there are, at the most. Who has not taken over what is cut off now joins again; the others do not notice.
  select max(o.id) - most into cut from dbmail_mesh.outbox o;
  if cut > (select min(o.id) from dbmail_mesh.outbox o) then
    with dropped as (
      delete from dbmail_mesh.outbox o
      where o.ctid = any (array(select x.ctid from dbmail_mesh.outbox x where x.id <= cut order by x.id limit 10000))
      returning o.txid
    ), counted as (
      -- What all members have, nobody misses.
      select count(*) as dropped, max(d.txid::text::bigint)::text::xid8 as cut,
             max(d.txid::text::bigint) filter (
               where exists (select from dbmail_mesh.peer p left join dbmail_mesh.acknowledged a on a.target_id = p.node_id
                             where p.left_at is null
                               and (a.target_id is null or not pg_visible_in_snapshot(d.txid, a.snapshot))))::text::xid8 as last
      from dropped d
    ), noted as (
      update dbmail_mesh.local_node n
      set cut = case when n.cut > c.cut then n.cut else c.cut end,
          trimmed = case when c.last is null or n.trimmed > c.last then n.trimmed else c.last end
      from counted c where c.cut is not null
    )
    select purged + c.dropped into purged from counted c;
  end if;
  return purged;
end
$$;
comment on function dbmail_mesh.purge_outbox is 'Removes what every peer holds durably, and the oldest rows of an outbox that has more than "most"; returns how many.';

-- A message whose UID was handed out before, to another that this node has forgotten. It is a message of its own: it gets a new UID, and
-- keeps everything else. Locks as a STORE takes them, after the line. Null: it is not here any more.
create function dbmail_mesh.bear_again(birth bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  hidden dbmail_mesh.late;
  mailbox bigint;
  new_uid bigint;
begin
  select * into hidden from dbmail_mesh.late l where l.birth_uid = birth and l.row_idnr >= 281474976710656;
  mailbox := coalesce(hidden.mailbox_idnr, (select g.mailbox_idnr from public.dbmail_messages g
                                            where g.message_idnr = birth and g.status < 2));
  if mailbox is null then
    return null;
  end if;
  new_uid := dbmail_mesh.number_in(mailbox);
  update public.dbmail_mailboxes m set seq = m.seq + 1 where m.mailbox_idnr = mailbox;
  if hidden.birth_uid is null then
    update public.dbmail_messages g set message_idnr = new_uid, seq = m.seq
    from public.dbmail_mailboxes m where g.message_idnr = birth and m.mailbox_idnr = mailbox;
    -- Above the line it waits for no number.
    delete from dbmail_mesh.late l where l.birth_uid = birth;
  else
    update dbmail_mesh.late l set birth_uid = new_uid, uid = new_uid where l.birth_uid = birth;
  end if;
  update dbmail_mesh.message_register r set birth_uid = new_uid where r.birth_uid = birth;
  update dbmail_mesh.keyword_register r set birth_uid = new_uid where r.birth_uid = birth;
  return new_uid;
end
$$;
comment on function dbmail_mesh.bear_again is 'Gives a message a new UID as if it had been delivered now, for its own belongs to another. Called as the worker.';

-- On a peer that was given the message under the UID of another before anybody noticed. False: it stands under another number by now.
create function dbmail_mesh.is_born_as(birth bigint, new_uid bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  mailbox bigint := (select g.mailbox_idnr from public.dbmail_messages g where g.message_idnr = birth and g.status < 2);
begin
  if mailbox is null or exists (select from dbmail_mesh.number n where n.birth_uid = birth) then
    return false;
  end if;
  perform dbmail_mesh.await_line(mailbox);
  update dbmail_mesh.line l set high = greatest(l.high, new_uid) where l.mailbox_idnr = mailbox;
  update public.dbmail_mailboxes m set seq = m.seq + 1 where m.mailbox_idnr = mailbox;
  update public.dbmail_messages g set message_idnr = new_uid, seq = m.seq
  from public.dbmail_mailboxes m where g.message_idnr = birth and m.mailbox_idnr = mailbox;
  delete from dbmail_mesh.late l where l.birth_uid = birth;
  update dbmail_mesh.message_register r set birth_uid = new_uid where r.birth_uid = birth;
  update dbmail_mesh.keyword_register r set birth_uid = new_uid where r.birth_uid = birth;
  insert into dbmail_mesh.outbox (kind, key, shown) values ('m', new_uid, true), ('s', mailbox, false);
  return true;
end
$$;
comment on function dbmail_mesh.is_born_as is 'Gives a message that came from a node which had forgotten something the UID under which it was born again there. Called as the worker.';

-- One that is dead here already: its tombstone would kill the other.
create function dbmail_mesh.forget_death(births bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from dbmail_mesh.tombstone t where t.birth_uid = any (births);
  delete from dbmail_mesh.message_register r where r.birth_uid = any (births);
  delete from dbmail_mesh.keyword_register r where r.birth_uid = any (births);
  update public.dbmail_messages g set message_idnr = nextval('dbmail_mesh.staging_idnr_seq')
  where g.message_idnr = any (births) and g.status >= 2;
end
$$;
comment on function dbmail_mesh.forget_death is 'Forgets messages that are dead here under UIDs that belong to others. Called as the worker.';

-- The same for mailboxes, whose id is their UIDVALIDITY.
create function dbmail_mesh.found_again(mailbox bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  new_idnr bigint;
begin
  perform from public.dbmail_mailboxes m where m.mailbox_idnr = mailbox for update;
  if not found then
    delete from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = mailbox;
    delete from dbmail_mesh.mailbox_register r where r.mailbox_idnr = mailbox;
    delete from dbmail_mesh.line l where l.mailbox_idnr = mailbox;
    return null;
  end if;
  new_idnr := nextval('public.dbmail_mailbox_idnr_seq');
  -- Its messages, subscriptions and ACLs follow by their foreign keys.
  update public.dbmail_mailboxes m set mailbox_idnr = new_idnr where m.mailbox_idnr = mailbox;
  update dbmail_mesh.line l set mailbox_idnr = new_idnr where l.mailbox_idnr = mailbox;
  update dbmail_mesh.mailbox_register r set mailbox_idnr = new_idnr where r.mailbox_idnr = mailbox;
  update dbmail_mesh.late l set mailbox_idnr = new_idnr where l.mailbox_idnr = mailbox;
  update dbmail_mesh.reader_sign s set mailbox_idnr = new_idnr where s.mailbox_idnr = mailbox;
  update dbmail_mesh.entry e set key = jsonb_set(e.key, '{mailbox}', to_jsonb(new_idnr))
  where e.kind in ('subscription', 'acl') and (e.key ->> 'mailbox')::bigint = mailbox;
  return new_idnr;
end
$$;
comment on function dbmail_mesh.found_again is 'Gives a mailbox a new id as if it had been created now, for its own belongs to another; one that has ended here is forgotten (null). Called as the worker.';

-- Peers know a content by the node that it came from and its id there. Where that id has been in use before, it gets another.
create function dbmail_mesh.readdress(physmessages bigint[]) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  with known as (
    delete from dbmail_mesh.content c using dbmail_mesh.local_node n
    where c.origin_node = n.node_id and c.physmessage_id = any (physmessages)
  ), addressed as (
    insert into dbmail_mesh.content (origin_node, origin_id, physmessage_id)
    select n.node_id, nextval('public.dbmail_physmessage_id_seq'), p.id
    from dbmail_mesh.local_node n cross join unnest(physmessages) as p(id)
    where exists (select from public.dbmail_physmessage x where x.id = p.id)
    returning 1
  )
  select count(*) from addressed
$$;
comment on function dbmail_mesh.readdress is 'Gives contents of this node new addresses in the mesh.';

-- In portions: there may be millions.
create function dbmail_mesh.forget_changes(most bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  gone bigint;
begin
  delete from dbmail_mesh.outbox o where o.ctid = any (array(select x.ctid from dbmail_mesh.outbox x limit most));
  get diagnostics gone = row_count;
  return gone;
end
$$;
comment on function dbmail_mesh.forget_changes is 'Empties the outbox of a node that joins anew, for all its links begin with a first copy; returns how many rows went.';

-- What refers to this server's own transactions, or says how far others are, means nothing any more.
create function dbmail_mesh.forget_progress() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from dbmail_mesh.cursor;
  delete from dbmail_mesh.acknowledged;
  delete from dbmail_mesh.link_status;
  delete from dbmail_mesh.set_aside;
  delete from dbmail_mesh.overtaking;
  delete from dbmail_mesh.moved_reader;
  delete from dbmail_mesh.pause;
  update dbmail_mesh.local_node set trimmed = null, cut = null;
  update dbmail_mesh.mailbox_fate f set gone_in = pg_current_xact_id(), source_xid = null where f.gone_in is not null;
  update dbmail_mesh.account a set gone_in = pg_current_xact_id(), source_xid = null where a.gone_in is not null;
  update dbmail_mesh.mailbox_fate f set source_xid = null where f.gone_in is null and f.source_xid is not null;
  update dbmail_mesh.account a set source_xid = null where a.gone_in is null and a.source_xid is not null;
  update dbmail_mesh.entry e set dropped_in = null where e.dropped_in is not null;
  update dbmail_mesh.keyword_register k set removed_in = null where k.removed_in is not null;
end
$$;
comment on function dbmail_mesh.forget_progress is 'All links of this node begin again with a first copy, in both directions.';

create function dbmail_mesh.become(node smallint, name text, why text) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  was dbmail_mesh.local_node;
  fresh uuid := gen_random_uuid();
  last bigint;
  seq regclass;
begin
  select * into was from dbmail_mesh.local_node for update;
  if node not between 1 and was.stride then
    raise exception 'node % is not within the stride %', node, was.stride
      using hint = 'Choose an id from 1 to the stride; the stride cannot change.';
  end if;
  insert into dbmail_mesh.former_incarnation (incarnation, why) values (was.incarnation, become.why) on conflict do nothing;
  if node <> was.node_id then
    -- A copy of another node: what that node delivered is known in the mesh by its number.
    insert into dbmail_mesh.content (origin_node, origin_id, physmessage_id)
    select was.node_id, p.id, p.id from public.dbmail_physmessage p
    where not exists (select from dbmail_mesh.content c where c.physmessage_id = p.id)
    on conflict do nothing;
    delete from dbmail_mesh.reservation;
    delete from dbmail_mesh.reader_elsewhere e where e.node_id = node;
    delete from dbmail_mesh.peer p where p.node_id = node;
    foreach seq in array array['public.dbmail_message_idnr_seq', 'public.dbmail_mailbox_idnr_seq']::regclass[] loop
      last := coalesce(pg_sequence_last_value(seq), 0);
      perform setval(seq, last + 1 + mod(mod(node - last - 1, was.stride) + was.stride, was.stride));
    end loop;
  end if;
  update dbmail_mesh.local_node n
  set node_id = node, node_name = name, incarnation = fresh,
      system_identifier = (select c.system_identifier from pg_control_system() c);
  return fresh;
end
$$;
comment on function dbmail_mesh.become is 'Makes this database the given node: a copy of another one, or one that was restored from a backup. Its mail, its numbers and its dead stay. Its sequences have to be fenced before or after.';

create function dbmail_mesh.forget_peer(node smallint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from dbmail_mesh.cursor c where c.source_id = node;
  delete from dbmail_mesh.acknowledged a where a.target_id = node;
  delete from dbmail_mesh.link_status s where s.source_id = node;
  delete from dbmail_mesh.set_aside s where s.source_id = node;
  -- Transactions of another incarnation: all that it has comes with the first copy.
  update dbmail_mesh.mailbox_fate f set source_xid = null where f.source_id = node and f.gone_in is null;
  update dbmail_mesh.account a set source_xid = null where a.source_id = node and a.died_at is not null and a.gone_in is null;
end
$$;
comment on function dbmail_mesh.forget_peer is 'Forgets how far a peer and this node are with one another: their links begin again with a first copy.';

create function dbmail_mesh.readmit(node smallint, name text, id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.forget_peer(node);
  delete from dbmail_mesh.moved_reader m where m.node_id = node;
  insert into dbmail_mesh.peer as p (node_id, node_name, incarnation) values (node, name, id)
  on conflict (node_id) do update set node_name = excluded.node_name, incarnation = excluded.incarnation, left_at = null,
    admitted_at = clock_timestamp();
end
$$;
comment on function dbmail_mesh.readmit is 'Takes a node as a member that has joined anew, or come back.';

create function dbmail_mesh.come_back() returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  update dbmail_mesh.local_node n set left_at = null, left_why = null where n.left_at is not null
$$;
comment on function dbmail_mesh.come_back is 'Ends stay_out: the node has joined again.';

create function dbmail_mesh.is_what_it_was() returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  update dbmail_mesh.local_node n
  set left_at = null, left_why = null, system_identifier = (select c.system_identifier from pg_control_system() c)
$$;
comment on function dbmail_mesh.is_what_it_was is 'For a DBA, after a pg_upgrade: the cluster is another one, and nothing was lost. After a restore use dbmail-mesh join.';

create function dbmail_mesh.dismiss(node smallint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.forget_peer(node);
  delete from dbmail_mesh.reader_elsewhere e where e.node_id = node;
  delete from dbmail_mesh.moved_reader m where m.node_id = node;
  update dbmail_mesh.peer p set left_at = clock_timestamp() where p.node_id = node and p.left_at is null;
  return found;
end
$$;
comment on function dbmail_mesh.dismiss is 'Takes a peer out of the mesh, as far as this node is concerned. What came from it stays. False: it is no member.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (20, 'membership');
