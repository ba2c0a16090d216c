-- dbmail-mesh 0031, down.

set local lock_timeout = '250ms';

create or replace function dbmail_mesh.lock_and_view(mailboxes bigint[], births bigint[], lowest bigint)
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

create or replace function dbmail_mesh.headername(name text) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  found_id bigint;
begin
  select n.id into found_id from public.dbmail_headername n where lower(n.headername) = lower(name);
  if found_id is null then
    raise exception 'a header name is not here any more' using errcode = 'serialization_failure';
  end if;
  return found_id;
end
$$;

drop function dbmail_mesh.store_parts(text[], bytea[], bigint[], bigint[], smallint[], integer[], integer[], integer[], integer[]);
create function dbmail_mesh.store_parts(physmessages bigint[], is_headers smallint[], part_keys integer[], part_depths integer[],
  part_orders integer[], hashes text[], datas bytea[], sizes bigint[])
returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  with incoming as materialized (
    select * from unnest(physmessages, is_headers, part_keys, part_depths, part_orders, hashes, datas, sizes)
      i(physmessage_id, is_header, part_key, part_depth, part_order, hash, data, size)
  ), part as materialized (
    select p.hash, p.size, p.data, shared.id as shared_id,
           coalesce(shared.id, nextval('public.dbmail_mimeparts_id_seq')) as id
    from (select distinct i.hash, i.size, i.data from incoming i) p
    left join lateral (
      select m.id
      from (select m.id from public.dbmail_mimeparts m
            where m.hash = p.hash::char(256) and m.size = p.size and m.data = p.data order by m.id offset 0) m
      cross join lateral (select from public.dbmail_partlists l where l.part_id = m.id limit 1 for key share) l
      limit 1
    ) shared on true
  ), stored as (
    insert into public.dbmail_mimeparts (id, hash, data, size)
    select p.id, p.hash, p.data, p.size from part p where p.shared_id is null order by p.id
  )
  insert into public.dbmail_partlists (physmessage_id, is_header, part_key, part_depth, part_order, part_id)
  select i.physmessage_id, i.is_header, i.part_key, i.part_depth, i.part_order, p.id
  from incoming i join part p on p.hash = i.hash and p.size = i.size and p.data = i.data
$$;
comment on function dbmail_mesh.store_parts is 'Stores MIME parts and their places in messages; equal parts are shared by value.';

create or replace function dbmail_mesh.store_sliced_part(physmessage bigint, is_header smallint, part_key integer, part_depth integer,
  part_order integer, hash text, size bigint, part_no bigint)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.store_parts(array[physmessage], array[is_header], array[part_key], array[part_depth], array[part_order],
    array[hash], array(select string_agg(s.data, ''::bytea order by s.slice_no) from dbmail_mesh.incoming_slice s
                       where s.part_no = store_sliced_part.part_no), array[size]);
  delete from dbmail_mesh.incoming_slice s where s.part_no = store_sliced_part.part_no;
end
$$;

drop function dbmail_mesh.store_headers(text[], text[], text[], text[], text[], bigint[], integer[], integer[]);
create function dbmail_mesh.store_headers(physmessages bigint[], names text[], hashes text[], header_values text[],
  sortfields text[], datefields text[])
returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  with incoming as materialized (
    select i.physmessage_id, n.id as headername_id, i.hash, i.value, i.sortfield, i.datefield
    from unnest(physmessages, names, hashes, header_values, sortfields, datefields)
      i(physmessage_id, name, hash, value, sortfield, datefield)
    join (select d.name, dbmail_mesh.headername(d.name) as id from (select distinct unnest(names)) d(name)) n on n.name = i.name
  ), val as materialized (
    select v.*, shared.id as shared_id, coalesce(shared.id, nextval('public.dbmail_headervalue_id_seq')) as id
    from (select distinct i.hash, i.value, i.sortfield, i.datefield from incoming i) v
    left join lateral (
      select h.id
      from (select h.id from public.dbmail_headervalue h
            where h.hash = v.hash and h.headervalue = v.value and h.sortfield is not distinct from v.sortfield
              and h.datefield is not distinct from v.datefield::timestamp order by h.id offset 0) h
      cross join lateral (select from public.dbmail_header r where r.headervalue_id = h.id limit 1 for key share) r
      limit 1
    ) shared on true
  ), stored as (
    insert into public.dbmail_headervalue (id, hash, headervalue, sortfield, datefield)
    select v.id, v.hash, v.value, v.sortfield, v.datefield::timestamp from val v where v.shared_id is null order by v.id
  )
  insert into public.dbmail_header (physmessage_id, headername_id, headervalue_id)
  select distinct i.physmessage_id, i.headername_id, v.id
  from incoming i
  join val v on v.hash = i.hash and v.value = i.value and v.sortfield is not distinct from i.sortfield
    and v.datefield is not distinct from i.datefield
$$;

comment on function dbmail_mesh.store_headers is 'Stores header values and their places in messages; equal values are shared. The names are there already.';

drop function dbmail_mesh.spare_checks(bigint[]);
drop function dbmail_mesh.resume_checks();
drop function dbmail_mesh.places_of(bigint[]);
drop function dbmail_mesh.raise_lines(bigint[], bigint[]);
drop function dbmail_mesh.lines_of(bigint[]);

delete from dbmail_mesh.migration where version = 31;
