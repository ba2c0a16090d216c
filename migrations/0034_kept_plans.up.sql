-- dbmail-mesh 0034: what is asked with every batch and every delivery is planned once a session.
--
-- PostgreSQL plans a function in SQL each time that it is called, and a statement of PL/pgSQL with a list among its parameters as often,
-- for it takes the plan for a list of known length to be the better one. For a batch of one message that was more work than all the rest.
-- These look rows up by their keys, one after the other: there is one good plan for any length.

set local lock_timeout = '250ms';

create or replace function dbmail_mesh.guard(wait_ms integer, hold_ms integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('dbmail_mesh.applying', 'on', true),
         set_config('lock_timeout', wait_ms || 'ms', true),
         set_config('statement_timeout', hold_ms || 'ms', true),
         set_config('idle_in_transaction_session_timeout', hold_ms || 'ms', true);
end
$$;

create or replace function dbmail_mesh.has_gone_back(witness bigint, xid xid8, noted_at timestamp with time zone) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return witness is not null
     and not exists (select from dbmail_mesh.outbox o where o.id = witness and o.txid = xid and o.at = noted_at)
     -- It may have been purged, but only after somebody held it, or cut off.
     and xid >= coalesce((select max(pg_snapshot_xmin(a.snapshot)::text::bigint)::text::xid8 from dbmail_mesh.acknowledged a), '0'::xid8)
     and xid > coalesce((select n.cut from dbmail_mesh.local_node n), '0'::xid8);
end
$$;

create or replace function dbmail_mesh.has_all_of(source smallint, cursors jsonb) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return cursors is not null and not exists (
    select from jsonb_each(cursors) k cross join dbmail_mesh.local_node n
    where k.key::smallint not in (source, n.node_id)
      and not exists (select from dbmail_mesh.cursor c
                      where c.source_id = k.key::smallint and c.copy_stage is null
                        and dbmail_mesh.covers(c.from_snapshot, (k.value ->> 1)::pg_snapshot))
      and not exists (select from dbmail_mesh.heard h
                      where h.node_id = k.key::smallint and dbmail_mesh.covers(h.snapshot, (k.value ->> 1)::pg_snapshot)));
end
$$;

create or replace function dbmail_mesh.mailbox_of(wanted bigint) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    with recursive chain as (
      select wanted as id
      union
      select f.merged_into from chain c join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = c.id where f.merged_into is not null
    )
    select max(c.id) from chain c
  );
end
$$;

create or replace function dbmail_mesh.is_mere_name(mailbox bigint) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from public.dbmail_mailboxes m join dbmail_mesh.mailbox_register r on r.mailbox_idnr = m.mailbox_idnr
                 where m.mailbox_idnr = mailbox and m.no_select = 1 and r.no_select_stamp > 0 and lower(m.name) <> 'inbox');
end
$$;

create or replace function dbmail_mesh.view_messages(births bigint[])
returns table (birth_uid bigint, state "char", uid bigint, row_idnr bigint, mailbox_idnr bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select b.birth_uid,
           (case when t.birth_uid is not null then 'd'
                 when l.row_idnr >= 281474976710656 then 'h'
                 when g.status >= 2 then 'd'
                 when l.birth_uid is not null then 'w' else 'v' end)::"char",
           coalesce(l.uid, t.uid, g.message_idnr), g.message_idnr, coalesce(l.mailbox_idnr, g.mailbox_idnr, t.mailbox_idnr)
    from unnest(births) b(birth_uid)
    left join dbmail_mesh.tombstone t on t.birth_uid = b.birth_uid
    left join dbmail_mesh.late l on l.birth_uid = b.birth_uid
    -- The highest number under which it is here.
    left join lateral (select n.uid from dbmail_mesh.number n join public.dbmail_messages r on r.message_idnr = n.uid
                       where n.birth_uid = b.birth_uid order by n.uid desc limit 1) n on true
    left join public.dbmail_messages g on g.message_idnr = coalesce(l.row_idnr, n.uid, b.birth_uid)
    where t.birth_uid is not null or g.message_idnr is not null;
end
$$;

create or replace function dbmail_mesh.view_states(births bigint[])
returns table (birth_uid bigint, state "char", uid bigint, row_idnr bigint, mailbox_idnr bigint, row_mailbox bigint,
  flags smallint[], stamps bigint[], keywords jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select v.birth_uid, v.state, v.uid, v.row_idnr, v.mailbox_idnr, g.mailbox_idnr,
           array[g.seen_flag, g.answered_flag, g.deleted_flag, g.flagged_flag, g.draft_flag],
           array[coalesce(r.seen, 0), coalesce(r.answered, 0), coalesce(r.deleted, 0), coalesce(r.flagged, 0), coalesce(r.draft, 0),
                 coalesce(r.place, 0), coalesce(r.seq, 0), coalesce(g.seq, 0)],
           coalesce(k.keywords, '{}'::jsonb)
    from dbmail_mesh.view_messages(births) v
    left join public.dbmail_messages g on g.message_idnr = v.row_idnr
    left join dbmail_mesh.message_register r on r.birth_uid = v.birth_uid
    left join lateral (
      select jsonb_object_agg(e.keyword, jsonb_build_array(e.stamp, e.present)) as keywords
      from (select coalesce(w.keyword::text, c.keyword) as keyword, coalesce(c.stamp, 0) as stamp, w.keyword is not null as present
            from (select w.keyword from public.dbmail_keywords w where w.message_idnr = v.row_idnr) w
            full join (select c.keyword, c.stamp from dbmail_mesh.keyword_register c where c.birth_uid = v.birth_uid) c
              on c.keyword = w.keyword::text) e
    ) k on true;
end
$$;

create or replace function dbmail_mesh.passed_messages(source smallint, tides jsonb, cursors jsonb, most bigint)
returns table (row_idnr bigint, mailbox_idnr bigint, above bigint, is_own boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return query
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
    limit most;
end
$$;

create or replace function dbmail_mesh.touched_by(plan jsonb) returns bigint[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select array_agg(distinct t.mailbox order by t.mailbox)
    from (select e.mailbox from jsonb_to_recordset(plan -> 'take') as e(mailbox bigint)
          union all select e.mailbox from jsonb_to_recordset(plan -> 'move') as e(mailbox bigint)
          union all
          select g.mailbox_idnr
          from (select e.row_idnr from jsonb_to_recordset(plan -> 'kill') as e(row_idnr bigint)
                union all select e.row_idnr from jsonb_to_recordset(plan -> 'move') as e(row_idnr bigint)
                union all select e.row_idnr from jsonb_to_recordset(plan -> 'stow') as e(row_idnr bigint)
                union all select e.row_idnr from jsonb_to_recordset(plan -> 'mark') as e(row_idnr bigint)
                union all select e.row_idnr from jsonb_to_recordset(plan -> 'mark_keywords') as e(row_idnr bigint)
                union all select e.row_idnr from jsonb_to_recordset(plan -> 'modseq') as e(row_idnr bigint, promised bigint)
                          where e.promised is not null) e
          join public.dbmail_messages g on g.message_idnr = e.row_idnr
          where e.row_idnr < 281474976710656) t
  );
end
$$;

create or replace function dbmail_mesh.write_registers(registers jsonb, words jsonb, rescued jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.message_register as r (birth_uid, seen, answered, deleted, flagged, draft, place)
  select e.birth, e.seen, e.answered, e.deleted, e.flagged, e.draft, e.place
  from jsonb_to_recordset(registers) as e(birth bigint, seen bigint, answered bigint, deleted bigint, flagged bigint, draft bigint,
    place bigint)
  order by e.birth
  on conflict (birth_uid) do update
  set seen = greatest(r.seen, excluded.seen), answered = greatest(r.answered, excluded.answered),
      deleted = greatest(r.deleted, excluded.deleted), flagged = greatest(r.flagged, excluded.flagged),
      draft = greatest(r.draft, excluded.draft), place = greatest(r.place, excluded.place);
  insert into dbmail_mesh.message_register as r (birth_uid, place)
  select e.birth::bigint, dbmail_mesh.next_stamp(0) from jsonb_array_elements(rescued) e(birth)
  order by 1
  on conflict (birth_uid) do update set place = dbmail_mesh.next_stamp(r.place);
  insert into dbmail_mesh.keyword_register as r (birth_uid, keyword, stamp, present)
  select e.birth, e.keyword, e.stamp, e.present
  from jsonb_to_recordset(words) as e(birth bigint, keyword text, stamp bigint, present boolean)
  order by e.birth, e.keyword
  on conflict on constraint keyword_register_pkey do update
  set stamp = excluded.stamp, present = excluded.present, removed_in = null
  where r.stamp < excluded.stamp;
end
$$;

create or replace function dbmail_mesh.write_sizes(shown bigint[], died bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  with change as (
    select unnest(shown) as row_idnr, 1 as sign union all select unnest(died), -1
  ), per_owner as (
    select m.owner_idnr, sum(c.sign * p.messagesize)::bigint as delta
    from change c
    join public.dbmail_messages g on g.message_idnr = c.row_idnr
    join public.dbmail_physmessage p on p.id = g.physmessage_id
    join public.dbmail_mailboxes m on m.mailbox_idnr = g.mailbox_idnr
    group by m.owner_idnr
  ), locked as (
    select u.user_idnr, o.delta from public.dbmail_users u join per_owner o on o.owner_idnr = u.user_idnr
    order by u.user_idnr for no key update of u
  )
  update public.dbmail_users u set curmail_size = greatest(u.curmail_size + l.delta, 0)
  from locked l where u.user_idnr = l.user_idnr;
end
$$;

alter function dbmail_mesh.lock_and_view(bigint[], bigint[], bigint) set plan_cache_mode = force_generic_plan;
alter function dbmail_mesh.lines_of(bigint[]) set plan_cache_mode = force_generic_plan;
alter function dbmail_mesh.raise_lines(bigint[], bigint[]) set plan_cache_mode = force_generic_plan;
alter function dbmail_mesh.places_of(bigint[]) set plan_cache_mode = force_generic_plan;

create or replace function dbmail_mesh.find_content(origin_nodes smallint[], origin_ids bigint[])
returns table (origin_node smallint, origin_id bigint, physmessage_id bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  return query
    select k.origin_node, k.origin_id, g.physmessage_id
    from unnest(origin_nodes, origin_ids) k(origin_node, origin_id)
    cross join dbmail_mesh.local_node n
    left join dbmail_mesh.content c on c.origin_node = k.origin_node and c.origin_id = k.origin_id
    -- What was delivered here goes by its own id, unless it was given another address (a node that joins anew) or came from elsewhere.
    cross join lateral (
      select g.physmessage_id from public.dbmail_messages g
      where g.physmessage_id = coalesce(c.physmessage_id, case when k.origin_node = n.node_id then k.origin_id end)
        and (c.physmessage_id is not null or not exists (select from dbmail_mesh.content x where x.physmessage_id = k.origin_id))
      limit 1
    ) g;
end
$$;

create or replace function dbmail_mesh.store_physmessages(origin_nodes smallint[], origin_ids bigint[], messagesizes bigint[],
  rfcsizes bigint[], internal_dates text[])
returns table (origin_node smallint, origin_id bigint, physmessage_id bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    with numbered as (
      select i.*, nextval('public.dbmail_physmessage_id_seq') as id
      from unnest(origin_nodes, origin_ids, messagesizes, rfcsizes, internal_dates)
        i(origin_node, origin_id, messagesize, rfcsize, internal_date)
    ), stored as (
      insert into public.dbmail_physmessage (id, messagesize, rfcsize, internal_date)
      select n.id, n.messagesize, n.rfcsize, n.internal_date::timestamp from numbered n order by n.id
    ), noted as (
      -- Another link may have brought the same content meanwhile: the one that is in use stays.
      insert into dbmail_mesh.content as c (origin_node, origin_id, physmessage_id)
      select n.origin_node, n.origin_id, n.id from numbered n order by n.origin_node, n.origin_id
      on conflict on constraint content_pkey do update set physmessage_id = excluded.physmessage_id
      where not exists (select from public.dbmail_messages g where g.physmessage_id = c.physmessage_id)
    )
    select n.origin_node, n.origin_id, n.id from numbered n;
end
$$;

-- For a few messages the planner is not to read whole tables, as it would for the thousand that it supposes.
alter function dbmail_mesh.view_messages(bigint[]) rows 10;
alter function dbmail_mesh.view_states(bigint[]) rows 10;
alter function dbmail_mesh.places_of(bigint[]) rows 10;

-- A delivery. Nearly always its mailbox is here, and nobody has the line's lock: then one look takes both locks, and no other function is
-- called. Each call would cost as much as a small statement.
create or replace function dbmail_mesh.number_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  staging boolean;
  target bigint := new.mailbox_idnr;
  verdict "char" := 'a';
  line dbmail_mesh.line;
  above bigint;
  chosen bigint;
  until timestamptz;
begin
  -- dbmail inserts into its staging area with status 5.
  if new.status < 5 then
    begin
      -- The mailbox before its line: the other way round a DELETE of the mailbox deadlocks with a delivery, and the mail is lost.
      -- dbmail's own foreign key waits for the same lock. Locks are taken in the order in which they are named here.
      select l.* into line
      from public.dbmail_mailboxes m
      join public.dbmail_users u on u.user_idnr = m.owner_idnr
      join dbmail_mesh.line l on l.mailbox_idnr = m.mailbox_idnr
      where m.mailbox_idnr = new.mailbox_idnr and u.userid <> '__@!internal_delivery_user!@__'
      for key share of m for no key update of l skip locked;
      -- A statement of its own: its snapshot is newer than the lock.
      if found and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = new.mailbox_idnr) then
        -- As number_in does, with read_until and raise_line.
        above := greatest(line.high, (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = line.mailbox_idnr));
        chosen := dbmail_mesh.next_uid(above);
        select case when n.presence is null then 'infinity'
                    else n.presence + greatest((select p.seen_at from dbmail_mesh.presence p where p.user_idnr = line.owner_idnr),
                                               (select max(s.seen_at) from dbmail_mesh.reader_sign s
                                                where s.mailbox_idnr = line.mailbox_idnr)) end
          into until
        from dbmail_mesh.local_node n;
        update dbmail_mesh.line l
        set high = chosen, raised_at = clock_timestamp(),
            reported = case when until >= clock_timestamp() then chosen else dbmail_mesh.reported_of(line, until) end
        where l.mailbox_idnr = line.mailbox_idnr;
        new.message_idnr := chosen;
        return new;
      end if;
    exception when others then
      -- An error of ours would lose mail: dbmail swallows it and answers OK. What follows has more ways out.
      null;
    end;
  end if;
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

create or replace function dbmail_mesh.capture_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.outbox (kind, key, shown) values ('m', new.message_idnr, true);
  -- As ring() does.
  if pg_try_advisory_lock(1684169069, 1) then
    perform pg_advisory_unlock(1684169069, 1);
  else
    perform pg_notify('dbmail_mesh', '');
  end if;
  return null;
end
$$;

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name, needs) values (34, 'kept_plans', 31);
