-- dbmail-mesh 0016: MODSEQ (RFC 7162) for clients that go from node to node.
--
-- HIGHESTMODSEQ is dbmail_mailboxes.seq, a message's MODSEQ dbmail_messages.seq, and each node counts for itself. A client that moves
-- brings the number of another node. So on a node that is caught up, no change that the client has not been given may have a number that
-- is not above the one that it brings. docs/mechanism.md says how: numbers only ever rise, and each change of a message is renumbered
-- only where a client could have passed it.

set local lock_timeout = '250ms';

alter table dbmail_mesh.outbox drop constraint outbox_kind_is_known,
  add constraint outbox_kind_is_known check (kind in ('u', 'b', 'e', 'm', 'n', 's')),
  add column source_xid xid8;
comment on column dbmail_mesh.outbox.kind is 'u: account.id, b: dbmail_mailboxes.mailbox_idnr, e: entry.id, m: dbmail_messages.message_idnr, n: the same, of a message that only got a new MODSEQ, s: dbmail_mailboxes.mailbox_idnr whose HIGHESTMODSEQ went up.';
comment on column dbmail_mesh.outbox.source_xid is 'Where origin is another node: a transaction of that node; whoever has seen all up to it there has the change. Null: not known.';
create index outbox_by_source on dbmail_mesh.outbox (origin, source_xid) where source_xid is not null;

-- Deliveries, STOREs and SELECTs raise it, each in a transaction that has little else to do: a row is noted, and nobody is woken. It
-- goes along with the next change, or with the next poll. dbmail's staging mailbox is not known to any peer, so it needs no test here.
create function dbmail_mesh.capture_seq() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.outbox (kind, key) values ('s', new.mailbox_idnr);
  return null;
end
$$;
comment on function dbmail_mesh.capture_seq is 'Notes that a mailbox''s HIGHESTMODSEQ went up.';

create trigger _900_dbmail_mesh_seq after update of seq on public.dbmail_mailboxes
  for each row when (old.seq is distinct from new.seq and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_seq();
comment on trigger _900_dbmail_mesh_seq on public.dbmail_mailboxes is 'Notes for the peers that HIGHESTMODSEQ went up.';

-- dbmail's STORE raises the mailbox, then writes the flags, then the message's number, each in a transaction. Whoever reads the flags in
-- between must not find them under the old number. The mailbox is read without a lock: its row comes before the message's.
create function dbmail_mesh.number_flags() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  new.seq := greatest(new.seq, (select m.seq from public.dbmail_mailboxes m where m.mailbox_idnr = new.mailbox_idnr));
  return new;
end
$$;
comment on function dbmail_mesh.number_flags is 'Gives a message whose flags change the MODSEQ that its mailbox has.';

create trigger _100_dbmail_mesh_modseq
  before update of seen_flag, answered_flag, deleted_flag, flagged_flag, draft_flag on public.dbmail_messages
  for each row when ((old.seen_flag, old.answered_flag, old.deleted_flag, old.flagged_flag, old.draft_flag)
                     is distinct from (new.seen_flag, new.answered_flag, new.deleted_flag, new.flagged_flag, new.draft_flag)
                     and new.status < 2 and new.message_idnr < 281474976710656
                     and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.number_flags();
comment on trigger _100_dbmail_mesh_modseq on public.dbmail_messages is 'Gives changed flags their MODSEQ at once.';

create function dbmail_mesh.covers(ours pg_snapshot, theirs pg_snapshot) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select pg_snapshot_xmax(ours) >= pg_snapshot_xmax(theirs)
         and not exists (select from pg_snapshot_xip(ours) as open(xid)
                         where open.xid < pg_snapshot_xmax(theirs) and pg_visible_in_snapshot(open.xid, theirs))
$$;
comment on function dbmail_mesh.covers is 'Whether the first snapshot sees all that the second sees.';

create function dbmail_mesh.has_all_of(source smallint, cursors jsonb) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select cursors is not null and not exists (
    select from jsonb_each(cursors) k cross join dbmail_mesh.local_node n
    where k.key::smallint not in (source, n.node_id)
      and not exists (select from dbmail_mesh.cursor c
                      where c.source_id = k.key::smallint and c.copy_stage is null
                        and dbmail_mesh.covers(c.from_snapshot, (k.value ->> 1)::pg_snapshot)))
$$;
comment on function dbmail_mesh.has_all_of is 'Whether this node has all that a source has from third nodes. The source''s cursors: {node: [what it surely has, what it may have]}; null: not known.';

create function dbmail_mesh.raise_seq(plan jsonb, touched bigint[]) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  crossed bigint[];
begin
  -- All that will be raised, follow_tides included: mailboxes before messages.
  perform from public.dbmail_mailboxes m
  where m.mailbox_idnr = any (touched)
     or m.mailbox_idnr in (select e.mailbox from jsonb_to_recordset(plan -> 'modseq') as e(mailbox bigint)
                           union all select e.mailbox from jsonb_to_recordset(plan -> 'passed') as e(mailbox bigint))
     or exists (select from jsonb_to_recordset(plan -> 'lift') as t(mailbox bigint, seq bigint)
                where t.mailbox = m.mailbox_idnr and t.seq > m.seq)
  order by m.mailbox_idnr for no key update;
  -- As nobody can raise it any more: clients may have left with any number up to this one, and without the change.
  select array_agg(distinct e.birth) into crossed
  from jsonb_to_recordset(plan -> 'modseq') as e(birth bigint, mailbox bigint, common bigint)
  join public.dbmail_mailboxes m on m.mailbox_idnr = e.mailbox
  where e.common <= m.seq;
  with given as (
    select e.mailbox, max(e.seq) as seq
    from jsonb_to_recordset(plan -> 'modseq') as e(mailbox bigint, seq bigint)
    group by e.mailbox
  ), wanted as (
    select m.mailbox_idnr, greatest(m.seq + case when m.mailbox_idnr = any (touched) then 1 else 0 end, g.seq) as seq
    from public.dbmail_mailboxes m left join given g on g.mailbox = m.mailbox_idnr
    where m.mailbox_idnr = any (touched) or g.mailbox is not null
  )
  update public.dbmail_mailboxes m set seq = w.seq from wanted w where m.mailbox_idnr = w.mailbox_idnr and m.seq < w.seq;
  return crossed;
end
$$;
comment on function dbmail_mesh.raise_seq is 'Part of write_plan: HIGHESTMODSEQ goes up by one where a client could notice something, and to the MODSEQs that the source has given. Returns the messages whose change a client may have passed.';

create function dbmail_mesh.write_modseqs(modseqs jsonb, crossed bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  update public.dbmail_messages g set seq = m.seq
  from jsonb_to_recordset(modseqs) as e(now_idnr bigint, promised bigint), public.dbmail_mailboxes m
  where g.message_idnr = e.now_idnr and m.mailbox_idnr = g.mailbox_idnr and g.seq < e.promised and g.status < 2;
  if crossed is null then
    return;
  end if;
  insert into dbmail_mesh.message_register as r (birth_uid, seq)
  select e.birth, max(m.seq)
  from jsonb_to_recordset(modseqs) as e(birth bigint, mailbox bigint, common bigint)
  join public.dbmail_mailboxes m on m.mailbox_idnr = e.mailbox
  where e.birth = any (crossed) and e.common is not null
  group by e.birth
  order by e.birth
  on conflict (birth_uid) do update set seq = greatest(r.seq, excluded.seq);
  insert into dbmail_mesh.outbox (kind, key) select 'n', c.birth from unnest(crossed) as c(birth);
  perform dbmail_mesh.ring();
end
$$;
comment on function dbmail_mesh.write_modseqs is 'Part of write_plan: messages whose MODSEQ another node has raised get the one that their mailbox was just given; that of a message whose change a client may have passed is told to all.';

create function dbmail_mesh.passed_messages(source smallint, tides jsonb, cursors jsonb, most bigint)
returns table (row_idnr bigint, mailbox_idnr bigint, above bigint, is_own boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  with has as (
    select k.key::smallint as node_id, (k.value ->> 0)::pg_snapshot as snapshot, k.key::smallint = n.node_id as is_own
    from jsonb_each(cursors) k cross join dbmail_mesh.local_node n
    where k.key::smallint <> source
  ), lacks as (
    select o.key, true as is_own
    from has h join dbmail_mesh.outbox o
      on o.txid >= pg_snapshot_xmin(h.snapshot) and not pg_visible_in_snapshot(o.txid, h.snapshot)
    where h.is_own and o.origin is null and o.kind = 'm'
    union all
    select o.key, false
    from has h join dbmail_mesh.outbox o
      on o.origin = h.node_id and o.source_xid >= pg_snapshot_xmin(h.snapshot)
         and not pg_visible_in_snapshot(o.source_xid, h.snapshot)
    where not h.is_own and o.kind = 'm'
  )
  select g.message_idnr, g.mailbox_idnr, max(t.seq), bool_or(l.is_own)
  from (select l.key, bool_or(l.is_own) as is_own from lacks l group by l.key) l
  join public.dbmail_messages g
    on g.message_idnr = coalesce((select max(n.uid) from dbmail_mesh.number n where n.birth_uid = l.key), l.key)
  join jsonb_to_recordset(tides) as t(mailbox bigint, seq bigint) on t.mailbox = g.mailbox_idnr
  where g.status < 2 and g.seq <= t.seq
    -- One that is as it was delivered is found by its UID. In a busy mailbox nearly all are.
    and (exists (select from dbmail_mesh.message_register r where r.birth_uid = l.key)
         or exists (select from dbmail_mesh.keyword_register k where k.birth_uid = l.key))
  group by g.message_idnr, g.mailbox_idnr
  order by g.message_idnr
  limit most
$$;
comment on function dbmail_mesh.passed_messages is 'Messages that have changed here, or on a third node, that a source did not have the change of when it had these HIGHESTMODSEQs ([{mailbox, seq}]), and whose MODSEQ its clients have passed (above). Cursors as for has_all_of.';

create function dbmail_mesh.write_tides(plan jsonb, touched bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  update public.dbmail_mailboxes m set seq = t.seq
  from (select t.mailbox, max(t.seq) as seq
        from jsonb_to_recordset(plan -> 'lift') as t(mailbox bigint, seq bigint) group by t.mailbox) t
  where m.mailbox_idnr = t.mailbox and m.seq < t.seq;
  if plan ? 'passed' then
    -- With many messages, room above: while the source does not hear of them, each is renumbered again only after it has risen by
    -- sixteen for every one of them.
    update public.dbmail_mailboxes m set seq = greatest(m.seq, p.above) + 1 + 16 * (p.messages - 1)
    from (select e.mailbox, max(e.above) as above, count(*) as messages
          from jsonb_to_recordset(plan -> 'passed') as e(mailbox bigint, above bigint) group by e.mailbox) p
    where m.mailbox_idnr = p.mailbox;
    update public.dbmail_messages g set seq = m.seq
    from jsonb_to_recordset(plan -> 'passed') as e(row_idnr bigint, mailbox bigint), public.dbmail_mailboxes m
    where g.message_idnr = e.row_idnr and m.mailbox_idnr = e.mailbox and g.mailbox_idnr = e.mailbox and g.status < 2 and g.seq < m.seq;
    with own as (
      insert into dbmail_mesh.message_register as r (birth_uid, seq)
      select dbmail_mesh.birth_of(g.message_idnr), g.seq
      from jsonb_to_recordset(plan -> 'passed') as e(row_idnr bigint, is_own boolean)
      join public.dbmail_messages g on g.message_idnr = e.row_idnr and g.status < 2
      where e.is_own
      order by 1
      on conflict (birth_uid) do update set seq = greatest(r.seq, excluded.seq)
      returning birth_uid
    )
    insert into dbmail_mesh.outbox (kind, key) select 'n', o.birth_uid from own o;
    perform dbmail_mesh.ring();
  end if;
  -- Whoever may hold something that clients of this node lack has to know what number they may come with: the peers are told, unless it
  -- is one that the source has had, and this node has all that the source has.
  if not plan ? 'copies' then
    insert into dbmail_mesh.outbox (kind, key)
    select 's', m.mailbox_idnr
    from public.dbmail_mailboxes m
    left join jsonb_to_recordset(plan -> 'tides') as t(mailbox bigint, seq bigint) on t.mailbox = m.mailbox_idnr
    where (m.mailbox_idnr = any (touched) and (not plan ? 'has_all' or m.seq > coalesce(t.seq, 0)))
       or m.mailbox_idnr in (select e.mailbox from jsonb_to_recordset(plan -> 'passed') as e(mailbox bigint));
  end if;
end
$$;
comment on function dbmail_mesh.write_tides is 'Part of write_plan: HIGHESTMODSEQ goes up to that of the source, and messages that its clients have passed (as passed_messages tells) get a MODSEQ above it; of those that changed here the peers are told.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (16, 'modseq');
