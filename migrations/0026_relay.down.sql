-- dbmail-mesh 0026, down.

set local lock_timeout = '250ms';

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
  if source is null or plan ? 'own' then
    perform dbmail_mesh.ring();
  end if;
end
$$;

create or replace function dbmail_mesh.has_all_of(source smallint, cursors jsonb) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select cursors is not null and not exists (
    select from jsonb_each(cursors) k cross join dbmail_mesh.local_node n
    where k.key::smallint not in (source, n.node_id)
      and not exists (select from dbmail_mesh.cursor c
                      where c.source_id = k.key::smallint and c.copy_stage is null
                        and dbmail_mesh.covers(c.from_snapshot, (k.value ->> 1)::pg_snapshot)))
$$;

create or replace function dbmail_mesh.has_come(source smallint, xid xid8) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select source is null or xid is null or coalesce(
    (select c.copy_stage is null and pg_visible_in_snapshot(xid, c.from_snapshot) from dbmail_mesh.cursor c where c.source_id = source),
    true)
$$;

create or replace function dbmail_mesh.purge_outbox(keep interval, most bigint) returns bigint
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

create or replace function dbmail_mesh.forget_peer(node smallint) returns void
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

create or replace function dbmail_mesh.readmit(node smallint, name text, id uuid) returns void
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

create or replace function dbmail_mesh.dismiss(node smallint) returns boolean
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

create or replace function dbmail_mesh.capture_mailbox_end() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  told_by smallint;
begin
  if dbmail_mesh.is_staging_owner(old.owner_idnr) then
    return null;
  end if;
  insert into dbmail_mesh.mailbox_fate as f (mailbox_idnr, gone_in) values (old.mailbox_idnr, pg_current_xact_id())
  on conflict (mailbox_idnr) do update set gone_in = coalesce(f.gone_in, excluded.gone_in)
  returning f.source_id into told_by;
  if current_setting('dbmail_mesh.applying', true) is distinct from 'on' then
    perform dbmail_mesh.note('b', old.mailbox_idnr);
  else
    insert into dbmail_mesh.outbox (kind, key, origin) values ('b', old.mailbox_idnr, told_by);
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
  insert into dbmail_mesh.mailbox_fate as f (mailbox_idnr, merged_into, gone_in, source_id, source_xid)
  select e.id, e.merged_into, case when m.mailbox_idnr is null then pg_current_xact_id() end, e.source_id, e.source_xid::xid8
  from jsonb_to_recordset(fates) as e(id bigint, merged_into bigint, source_id smallint, source_xid text)
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
  insert into dbmail_mesh.account as a (born_as, generation, died_at, gone_in, source_id, source_xid)
  select e.born_as, e.generation, clock_timestamp(), pg_current_xact_id(), source, e.gone_in::xid8
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, dies boolean, gone_in text)
  where e.dies
  order by e.born_as, e.generation
  on conflict (born_as, generation) do update
    set died_at = excluded.died_at, source_id = excluded.source_id, source_xid = excluded.source_xid
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
  insert into dbmail_mesh.mailbox_fate (mailbox_idnr, source_id, source_xid)
  select m.mailbox_idnr, dead.source_id, dead.source_xid from public.dbmail_mailboxes m where m.owner_idnr = dead.user_idnr
  on conflict do nothing;
  if exists (select from public.dbmail_mailboxes m where m.owner_idnr = dead.user_idnr) then
    return 'occupied';
  end if;
  perform dbmail_mesh.forget_account(dead.account);
  delete from public.dbmail_users u where u.user_idnr = dead.user_idnr;
  update dbmail_mesh.account a set gone_in = pg_current_xact_id() where a.id = which and a.gone_in is null;
  insert into dbmail_mesh.outbox (kind, key, origin)
  select 'u', which, coalesce(dead.source_id, n.node_id) from dbmail_mesh.local_node n;
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
   order by a.id limit most)
  union all
  (select 'b', f.mailbox_idnr
   from dbmail_mesh.mailbox_fate f
   where f.gone_in is null and (f.merged_into is not null or dbmail_mesh.has_come(f.source_id, f.source_xid))
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

comment on column dbmail_mesh.outbox.kind is 'u: account.id, b: dbmail_mailboxes.mailbox_idnr, e: entry.id, m: dbmail_messages.message_idnr, n: the same, of a message that only got a new MODSEQ, s: dbmail_mailboxes.mailbox_idnr whose HIGHESTMODSEQ went up, w: a mark of somebody who waits until all before it is everywhere.';

drop function dbmail_mesh.has_been_relayed(smallint, xid8);
alter table dbmail_mesh.mailbox_fate drop column relayed;
alter table dbmail_mesh.account drop column relayed;
drop table dbmail_mesh.heard;
alter table dbmail_mesh.peer drop column ended_in;
alter table dbmail_mesh.link_status drop column relays;
alter table dbmail_mesh.acknowledged drop column relayed_snapshot;
alter table dbmail_mesh.cursor drop column relayed_snapshot;

delete from dbmail_mesh.migration where version = 26;
