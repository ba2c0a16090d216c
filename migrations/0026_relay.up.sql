-- dbmail-mesh 0026: relay. What a node gave to some peers reaches the others by these, when it is lost or cut off from the others.
--
-- What came over a link stands in the outbox with its origin, and peers pass it over: they get it from that origin. Who does not hear of
-- the origin any more reads these rows too. For that each link knows a moment of its source up to which the target has everything that the
-- source had from third nodes, and the outbox keeps such rows until every peer has said so.

set local lock_timeout = '250ms';

alter table dbmail_mesh.cursor add column relayed_snapshot pg_snapshot;
comment on column dbmail_mesh.cursor.relayed_snapshot is 'What had come to the source from third nodes when it took this snapshot is here: it came from these themselves, or the source has relayed it. Null: not known yet.';

alter table dbmail_mesh.acknowledged add column relayed_snapshot pg_snapshot;
comment on column dbmail_mesh.acknowledged.relayed_snapshot is 'The peer also holds all that this node had from third nodes when it took this snapshot. Null: it has not said so yet.';

alter table dbmail_mesh.link_status add column relays smallint[] not null default '{}';
comment on column dbmail_mesh.link_status.relays is 'Third nodes that this node does not hear of: what they gave to the source is being taken over from there.';

alter table dbmail_mesh.peer add column ended_in xid8;
comment on column dbmail_mesh.peer.ended_in is 'The transaction in which it was taken out, or joined anew. What came from it before that cannot be told by how far it has been read since. Null: neither has happened.';

create table dbmail_mesh.heard (
  node_id smallint primary key,
  incarnation uuid not null,
  snapshot pg_snapshot not null,
  at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table dbmail_mesh.heard is 'How far this node has what others did although it did not come from them: third nodes have relayed it.';
comment on column dbmail_mesh.heard.node_id is 'Who did it.';
comment on column dbmail_mesh.heard.incarnation is 'Its incarnation, as in peer.incarnation of the node that relayed it.';
comment on column dbmail_mesh.heard.snapshot is 'All changes that this snapshot of that node sees are here.';
comment on column dbmail_mesh.heard.at is 'Since when.';

comment on column dbmail_mesh.outbox.kind is 'u: account.id, b: dbmail_mailboxes.mailbox_idnr, e: entry.id, m: dbmail_messages.message_idnr, n: the same, of a message of which nothing changed that clients of this node are shown but its MODSEQ, s: dbmail_mailboxes.mailbox_idnr whose HIGHESTMODSEQ went up, w: a mark of somebody who waits until all before it is everywhere.';

-- As before, and: what dies, waits, or gets another stamp because of a peer is noted, too.
create or replace function dbmail_mesh.note_plan(plan jsonb, source smallint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- What a settlement writes is a change like any other (origin null): a peer that was not part of it learns of it from here. What
  -- came over a link is noted too, with its origin: sweep_overtaking() has to see when it became visible. What this node decided on its
  -- own account while it applied is its own.
  insert into dbmail_mesh.outbox (kind, key, origin, source_xid, shown)
  select 'm', e.uid, case when own.birth is null then source end, case when own.birth is null then (plan ->> 'source_xid')::xid8 end,
         bool_or(e.shown)
  from (select birth, uid, true as shown from jsonb_to_recordset(plan -> 'move') as e(birth bigint, uid bigint)
        union all select birth, uid, true from jsonb_to_recordset(plan -> 'take') as e(birth bigint, uid bigint)
        union all select birth, now_idnr, false from jsonb_to_recordset(plan -> 'mark') as e(birth bigint, now_idnr bigint)
        union all select birth, now_idnr, false from jsonb_to_recordset(plan -> 'mark_keywords') as e(birth bigint, now_idnr bigint)
        union all select birth, birth, false from jsonb_to_recordset(plan -> 'stow') as e(birth bigint)
        union all select o.birth::bigint, o.birth::bigint, false from jsonb_array_elements(plan -> 'own') o(birth)) e
  left join (select o.birth::bigint from jsonb_array_elements(plan -> 'own') o(birth)) own on own.birth = e.birth
  group by e.uid, own.birth
  order by e.uid;
  -- What no client is shown is a change too: a node that cannot hear the source may depend on this one for it.
  insert into dbmail_mesh.outbox (kind, key, origin, source_xid)
  select 'n', e.birth, source, (plan ->> 'source_xid')::xid8
  from (select birth from jsonb_to_recordset(plan -> 'kill') as e(birth bigint)
        union select birth from jsonb_to_recordset(plan -> 'hide') as e(birth bigint)
        union select birth from jsonb_to_recordset(plan -> 'wait') as e(birth bigint)
        union select birth from jsonb_to_recordset(plan -> 'registers') as e(birth bigint)
        union select birth from jsonb_to_recordset(plan -> 'keyword_registers') as e(birth bigint)
        except select birth from jsonb_to_recordset(plan -> 'take') as e(birth bigint)
        except select birth from jsonb_to_recordset(plan -> 'move') as e(birth bigint)
        except select birth from jsonb_to_recordset(plan -> 'stow') as e(birth bigint)
        except select birth from jsonb_to_recordset(plan -> 'mark') as e(birth bigint)
        except select birth from jsonb_to_recordset(plan -> 'mark_keywords') as e(birth bigint)
        except select o.birth::bigint from jsonb_array_elements(plan -> 'own') o(birth)) e
  where source is not null
  order by e.birth;
  if source is null or plan ? 'own' then
    perform dbmail_mesh.ring();
  end if;
end
$$;

-- As before, but what was relayed counts.
create or replace function dbmail_mesh.has_all_of(source smallint, cursors jsonb) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select cursors is not null and not exists (
    select from jsonb_each(cursors) k cross join dbmail_mesh.local_node n
    where k.key::smallint not in (source, n.node_id)
      and not exists (select from dbmail_mesh.cursor c
                      where c.source_id = k.key::smallint and c.copy_stage is null
                        and dbmail_mesh.covers(c.from_snapshot, (k.value ->> 1)::pg_snapshot))
      and not exists (select from dbmail_mesh.heard h
                      where h.node_id = k.key::smallint and dbmail_mesh.covers(h.snapshot, (k.value ->> 1)::pg_snapshot)))
$$;

create or replace function dbmail_mesh.has_come(source smallint, xid xid8) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select source is null or xid is null or coalesce(
    (select c.copy_stage is null and pg_visible_in_snapshot(xid, c.from_snapshot) from dbmail_mesh.cursor c where c.source_id = source),
    true)
    or exists (select from dbmail_mesh.heard h where h.node_id = source and pg_visible_in_snapshot(xid, h.snapshot))
$$;

-- As before, but what came from third nodes is kept for those that may need it from here.
create or replace function dbmail_mesh.purge_outbox(keep interval, most bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  below xid8;
  relayed_below xid8;
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
    select min(pg_snapshot_xmin(a.snapshot)::text::bigint)::text::xid8,
           min(coalesce(pg_snapshot_xmin(a.relayed_snapshot)::text::bigint, 0))::text::xid8
    into below, relayed_below
    from dbmail_mesh.acknowledged a join dbmail_mesh.peer p on p.node_id = a.target_id and p.left_at is null;
    delete from dbmail_mesh.outbox o
    where o.ctid = any (array(select x.ctid from dbmail_mesh.outbox x
                              where x.txid < below and x.at < clock_timestamp() - keep
                                -- What came from a third node, until each peer has it, from that node or from here.
                                and (x.origin is null or x.txid < relayed_below)
                              order by x.txid limit 10000));
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

-- As before, and: what was relayed of another incarnation means nothing.
create or replace function dbmail_mesh.forget_peer(node smallint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from dbmail_mesh.cursor c where c.source_id = node;
  delete from dbmail_mesh.acknowledged a where a.target_id = node;
  delete from dbmail_mesh.heard h where h.node_id = node;
  delete from dbmail_mesh.link_status s where s.source_id = node;
  delete from dbmail_mesh.set_aside s where s.source_id = node;
  -- Transactions of another incarnation: all that it has comes with the first copy.
  update dbmail_mesh.mailbox_fate f set source_xid = null where f.source_id = node and f.gone_in is null;
  update dbmail_mesh.account a set source_xid = null where a.source_id = node and a.died_at is not null and a.gone_in is null;
end
$$;

-- As before, and: it is noted when that was.
create or replace function dbmail_mesh.readmit(node smallint, name text, id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.forget_peer(node);
  delete from dbmail_mesh.moved_reader m where m.node_id = node;
  insert into dbmail_mesh.peer as p (node_id, node_name, incarnation, ended_in) values (node, name, id, pg_current_xact_id())
  on conflict (node_id) do update set node_name = excluded.node_name, incarnation = excluded.incarnation, left_at = null,
    admitted_at = clock_timestamp(), ended_in = excluded.ended_in;
end
$$;

create or replace function dbmail_mesh.dismiss(node smallint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.forget_peer(node);
  delete from dbmail_mesh.reader_elsewhere e where e.node_id = node;
  delete from dbmail_mesh.moved_reader m where m.node_id = node;
  update dbmail_mesh.peer p set left_at = clock_timestamp(), ended_in = pg_current_xact_id() where p.node_id = node and p.left_at is null;
  return found;
end
$$;

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (26, 'relay');
