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

alter table dbmail_mesh.mailbox_fate add column relayed boolean not null default false;
comment on column dbmail_mesh.mailbox_fate.relayed is 'source_id has relayed it: it is carried out once all is here that source_id had from third nodes by then, and is told on as this node''s own.';
alter table dbmail_mesh.account add column relayed boolean not null default false;
comment on column dbmail_mesh.account.relayed is 'Of a death: as mailbox_fate.relayed.';

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

create function dbmail_mesh.has_been_relayed(source smallint, xid xid8) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select source is null or xid is null or coalesce(
    (select c.copy_stage is null and coalesce(pg_visible_in_snapshot(xid, c.relayed_snapshot), false)
     from dbmail_mesh.cursor c where c.source_id = source),
    true)
$$;
comment on function dbmail_mesh.has_been_relayed is 'Whether all that a source had from third nodes, up to the end of one of its transactions, is here.';

-- As before, but the end of a mailbox, or of an account, that was relayed waits for that, and is told on as this node's own.
create or replace function dbmail_mesh.capture_mailbox_end() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  told_by smallint;
  was_relayed boolean;
begin
  if dbmail_mesh.is_staging_owner(old.owner_idnr) then
    return null;
  end if;
  insert into dbmail_mesh.mailbox_fate as f (mailbox_idnr, gone_in) values (old.mailbox_idnr, pg_current_xact_id())
  on conflict (mailbox_idnr) do update set gone_in = coalesce(f.gone_in, excluded.gone_in)
  returning f.source_id, f.relayed into told_by, was_relayed;
  if current_setting('dbmail_mesh.applying', true) is distinct from 'on' then
    perform dbmail_mesh.note('b', old.mailbox_idnr);
  else
    insert into dbmail_mesh.outbox (kind, key, origin) values ('b', old.mailbox_idnr, case when not was_relayed then told_by end);
  end if;
  return null;
end
$$;

create or replace function dbmail_mesh.write_mailbox_fates(fates jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.line (mailbox_idnr, owner_idnr)
  select e.id, dbmail_mesh.user_of(e.owner) from jsonb_to_recordset(fates) as e(id bigint, owner text) order by e.id
  on conflict do nothing;
  insert into dbmail_mesh.mailbox_fate as f (mailbox_idnr, merged_into, gone_in, source_id, source_xid, relayed)
  select e.id, e.merged_into, case when m.mailbox_idnr is null then pg_current_xact_id() end, e.source_id, e.source_xid::xid8,
         coalesce(e.relayed, false)
  from jsonb_to_recordset(fates) as e(id bigint, merged_into bigint, source_id smallint, source_xid text, relayed boolean)
  left join public.dbmail_mailboxes m on m.mailbox_idnr = e.id
  order by e.id
  on conflict (mailbox_idnr) do update set merged_into = greatest(f.merged_into, excluded.merged_into);
  -- What else refers to a mailbox by its id (subscriptions, say) goes to the winner.
  perform dbmail_mesh.merge_entries(e.id, e.merged_into)
  from jsonb_to_recordset(fates) as e(id bigint, merged_into bigint)
  where e.merged_into is not null;
end
$$;

create or replace function dbmail_mesh.write_accounts(plan jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  source smallint := (plan ->> 'origin')::smallint;
begin
  -- Deaths: a user who is here stays until his mail is put aside; one who is not is gone at once.
  insert into dbmail_mesh.account as a (born_as, generation, died_at, gone_in, source_id, source_xid, relayed)
  select e.born_as, e.generation, clock_timestamp(), pg_current_xact_id(), source, e.gone_in::xid8,
         coalesce((plan ->> 'relayed')::boolean, false)
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, dies boolean, gone_in text)
  where e.dies
  order by e.born_as, e.generation
  on conflict (born_as, generation) do update
    set died_at = excluded.died_at, source_id = excluded.source_id, source_xid = excluded.source_xid, relayed = excluded.relayed
    where a.died_at is null;

  -- Names may be swapped, and the index does not wait for the end: out of the way first.
  update public.dbmail_users u set userid = '@!dbmail-mesh!@ ' || u.user_idnr
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, is_new boolean, vals text[])
  join dbmail_mesh.account a on a.born_as = e.born_as and a.generation = e.generation
  where not e.is_new and u.user_idnr = a.user_idnr and u.userid <> e.vals[1];
  update public.dbmail_users u
  set userid = e.vals[1], passwd = e.vals[2]::jsonb ->> 0, encryption_type = e.vals[2]::jsonb ->> 1, spasswd = e.vals[2]::jsonb ->> 2,
      maxmail_size = e.vals[3]::bigint, maxsieve_size = e.vals[4]::bigint, client_idnr = e.vals[5]::bigint,
      saction = e.vals[6]::smallint, active = e.vals[7]::smallint
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, is_new boolean, vals text[])
  join dbmail_mesh.account a on a.born_as = e.born_as and a.generation = e.generation
  where not e.is_new and u.user_idnr = a.user_idnr and e.vals is not null;

  with made as (
    insert into public.dbmail_users (userid, passwd, encryption_type, spasswd, maxmail_size, maxsieve_size, client_idnr, saction, active)
    select e.vals[1], e.vals[2]::jsonb ->> 0, e.vals[2]::jsonb ->> 1, e.vals[2]::jsonb ->> 2, e.vals[3]::bigint, e.vals[4]::bigint,
           e.vals[5]::bigint, e.vals[6]::smallint, e.vals[7]::smallint
    from jsonb_to_recordset(plan -> 'rows') as e(is_new boolean, vals text[])
    where e.is_new and e.vals is not null
    order by e.vals[1]
    returning user_idnr, userid
  )
  insert into dbmail_mesh.account (born_as, generation, user_idnr)
  select e.born_as, e.generation, m.user_idnr
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, is_new boolean, vals text[])
  join made m on m.userid = e.vals[1]
  where e.is_new
  order by e.born_as, e.generation;

  update dbmail_mesh.account a
  set userid_stamp = e.stamps[1], credentials_stamp = e.stamps[2], maxmail_stamp = e.stamps[3], maxsieve_stamp = e.stamps[4],
      client_stamp = e.stamps[5], saction_stamp = e.stamps[6], active_stamp = e.stamps[7]
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, stamps bigint[])
  where a.born_as = e.born_as and a.generation = e.generation and e.stamps is not null;

  -- What came over the link is noted with its origin; a name that was taken away is a decision of this node's.
  insert into dbmail_mesh.outbox (kind, key, origin)
  select 'u', a.id, case when not e.own then source end
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, own boolean)
  join dbmail_mesh.account a on a.born_as = e.born_as and a.generation = e.generation
  order by a.id;
  if jsonb_path_exists(plan, '$.rows[*] ? (@.own == true)') then
    perform dbmail_mesh.ring();
  end if;
exception when unique_violation then
  -- A session of dbmail has just taken the name, or created the user: look again.
  raise exception 'a userid was taken on this node in the meantime: %', sqlerrm using errcode = 'serialization_failure';
end
$$;

create or replace function dbmail_mesh.remove_account(which bigint) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  dead dbmail_mesh.account;
begin
  select * into dead from dbmail_mesh.account a where a.id = which;
  -- From here on nobody makes a mailbox for him: it would go by the cascade, with what is delivered into it.
  perform from public.dbmail_users u where u.user_idnr = dead.user_idnr for update;
  insert into dbmail_mesh.mailbox_fate (mailbox_idnr, source_id, source_xid, relayed)
  select m.mailbox_idnr, dead.source_id, dead.source_xid, dead.relayed from public.dbmail_mailboxes m where m.owner_idnr = dead.user_idnr
  on conflict do nothing;
  if exists (select from public.dbmail_mailboxes m where m.owner_idnr = dead.user_idnr) then
    return 'occupied';
  end if;
  perform dbmail_mesh.forget_account(dead.account);
  delete from public.dbmail_users u where u.user_idnr = dead.user_idnr;
  update dbmail_mesh.account a set gone_in = pg_current_xact_id() where a.id = which and a.gone_in is null;
  insert into dbmail_mesh.outbox (kind, key, origin)
  select 'u', which, case when not dead.relayed then coalesce(dead.source_id, n.node_id) end from dbmail_mesh.local_node n;
  return 'gone';
end
$$;

create or replace function dbmail_mesh.doomed(most bigint)
returns table (kind "char", id bigint)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  (select 'u'::"char", a.id
   from dbmail_mesh.account a
   where a.died_at is not null and a.gone_in is null and dbmail_mesh.has_come(a.source_id, a.source_xid)
     and (not a.relayed or dbmail_mesh.has_been_relayed(a.source_id, a.source_xid))
   order by a.id limit most)
  union all
  (select 'b', f.mailbox_idnr
   from dbmail_mesh.mailbox_fate f
   where f.gone_in is null and (f.merged_into is not null or dbmail_mesh.has_come(f.source_id, f.source_xid)
                                                 and (not f.relayed or dbmail_mesh.has_been_relayed(f.source_id, f.source_xid)))
   order by f.mailbox_idnr limit most)
  union all
  (select 'n', r.mailbox_idnr
   from dbmail_mesh.mailbox_register r
   where r.no_select_stamp > 0 and dbmail_mesh.is_mere_name(r.mailbox_idnr)
     and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = r.mailbox_idnr)
     and exists (select from dbmail_mesh.messages_of_doomed(r.mailbox_idnr, 1))
   order by r.mailbox_idnr limit most)
  union all
  -- Hidden in a mailbox that has gone since, whose owner is here. What is kept aside for deleted users stays for as long as anybody
  -- likes: their mailboxes are passed over, one step of the index each.
  (with recursive hidden(id) as (
     select min(l.mailbox_idnr) from dbmail_mesh.late l
     union all
     select (select min(l.mailbox_idnr) from dbmail_mesh.late l where l.mailbox_idnr > h.id) from hidden h where h.id is not null
   )
   select 'b'::"char", h.id
   from hidden h join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = h.id
   where f.gone_in is not null and (select p.verdict in ('m', 'r') from dbmail_mesh.place_of(h.id) p)
   limit most)
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
  -- What could not be joined of it yet may be had from the others: these are asked for it from now on.
  insert into dbmail_mesh.set_aside (source_id, kind, key, reason)
  select p.node_id, s.kind, s.key, s.reason
  from dbmail_mesh.set_aside s cross join dbmail_mesh.peer p
  where s.source_id = node and s.kind in ('m', 'b') and p.left_at is null and p.node_id <> node
  order by p.node_id, s.kind, s.key
  on conflict do nothing;
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
