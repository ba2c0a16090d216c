-- dbmail-mesh 0031: what comes in bulk is written with less work.
--
-- The mailboxes of a batch are looked at by one statement, and not each by functions of its own; a header name is looked up once a batch,
-- and not once a header. And where the owner of this schema may say so, foreign keys of content are not looked up row by row.

set local lock_timeout = '250ms';

create function dbmail_mesh.places_of(mailboxes bigint[])
returns table (id bigint, place bigint, verdict "char")
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- Nearly all are as they are.
  return query
    select i.id, p.place, p.verdict
    from unnest(mailboxes) i(id)
    left join public.dbmail_mailboxes m on m.mailbox_idnr = i.id
    left join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = i.id
    left join dbmail_mesh.mailbox_register r on r.mailbox_idnr = i.id
    cross join lateral (select m.mailbox_idnr is not null and f.mailbox_idnr is null
                               and not (m.no_select = 1 and coalesce(r.no_select_stamp, 0) > 0 and lower(m.name) <> 'inbox')) k(stays)
    cross join lateral (select i.id, 'a'::"char" where k.stays
                        union all
                        select o.place, o.verdict from dbmail_mesh.place_of(i.id) o where not k.stays) p(place, verdict);
end
$$;
comment on function dbmail_mesh.places_of is 'As place_of, for many mailboxes: where mail for them belongs on this node.';

create function dbmail_mesh.lines_of(mailboxes bigint[])
returns table (mailbox_idnr bigint, owner_idnr bigint, until timestamptz, top bigint, reported bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select l.mailbox_idnr, l.owner_idnr, u.until, o.top,
           case when u.until >= l.raised_at or (u.until is not null and l.raised_at > clock_timestamp()) then o.top
                else least(l.reported, l.high) end
    from dbmail_mesh.line l
    cross join dbmail_mesh.local_node n
    left join dbmail_mesh.presence p on p.user_idnr = l.owner_idnr
    cross join lateral (select case when n.presence is null then 'infinity'
                                    else n.presence + greatest(p.seen_at, (select max(s.seen_at) from dbmail_mesh.reader_sign s
                                                                           where s.mailbox_idnr = l.mailbox_idnr)) end) u(until)
    cross join lateral (select greatest(l.high, (select max(v.uid) from dbmail_mesh.overtaking v
                                                 where v.mailbox_idnr = l.mailbox_idnr))) o(top)
    where l.mailbox_idnr = any (mailboxes);
end
$$;
comment on function dbmail_mesh.lines_of is 'Lines of mailboxes as they are now: until when each may be read (as read_until tells); the highest UID that whoever reads it may have been told of; and the reported line (as reported_of).';

create function dbmail_mesh.raise_lines(mailboxes bigint[], highs bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  update dbmail_mesh.line l
  set high = w.high, raised_at = clock_timestamp(),
      reported = case when r.until >= clock_timestamp() then w.high else r.reported end
  from unnest(mailboxes, highs) w(mailbox_idnr, high)
  join dbmail_mesh.lines_of(mailboxes) r on r.mailbox_idnr = w.mailbox_idnr
  where l.mailbox_idnr = w.mailbox_idnr and l.high < w.high;
end
$$;
comment on function dbmail_mesh.raise_lines is 'As raise_line, for many mailboxes, each given once.';

-- As before, but the lines are looked at together.
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
    select l.owner_idnr from dbmail_mesh.lines_of(mailboxes) l where lowest <= l.top and l.reported < l.top)
  order by u.user_idnr for no key update;
  return query
    select l.mailbox_idnr, 'l'::"char", l.reported, l.top,
           null::bigint, l.mailbox_idnr, null::bigint, null::smallint[], null::bigint[], null::jsonb
    from dbmail_mesh.lines_of(mailboxes) l join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
    where not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = l.mailbox_idnr);
  return query
    select v.birth_uid, v.state, v.uid, null::bigint, v.row_idnr, v.mailbox_idnr, v.row_mailbox, v.flags, v.stamps, v.keywords
    from dbmail_mesh.view_states(births) v;
end
$$;

-- As before, but all lines are raised at once.
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

  perform dbmail_mesh.raise_lines(array_agg(e.mailbox), array_agg(e.high))
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

-- Content of a message is a few dozen rows, most of which PostgreSQL checks against the physmessage that was made a moment ago, in the same
-- transaction, where nobody else can see it, let alone delete it. Those checks are a third of what it costs to write them. They can be
-- left out: everything that the rows refer to either is made by the same transaction, or locked by it as the check would have (FOR KEY
-- SHARE). That takes a right which only a superuser can give to this schema's owner (PostgreSQL 15 and later):
--   grant set on parameter session_replication_role to dbmail_mesh_owner;
-- Without it the checks are made as ever. So they are where somebody has triggers, or foreign keys, of his own on these tables.
create function dbmail_mesh.spare_checks(physmessages bigint[]) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  content_tables regclass[] := array['public.dbmail_mimeparts', 'public.dbmail_partlists', 'public.dbmail_headervalue', 'public.dbmail_header',
    'public.dbmail_envelope', 'public.dbmail_referencesfield']::regclass[];
  known_tables regclass[] := array['public.dbmail_physmessage', 'public.dbmail_mimeparts', 'public.dbmail_headername',
    'public.dbmail_headervalue']::regclass[];
begin
  if current_setting('server_version_num')::integer < 150000 then
    return false;
  end if;
  if not has_parameter_privilege('session_replication_role', 'set')
     or exists (select from pg_trigger t where t.tgrelid = any (content_tables) and not t.tgisinternal and t.tgenabled <> 'D')
     or exists (select from pg_constraint c
                where c.conrelid = any (content_tables) and c.contype = 'f' and c.confrelid <> all (known_tables)) then
    return false;
  end if;
  if (select count(*) from public.dbmail_physmessage p
      where p.id = any (physmessages) and p.xmin = pg_current_xact_id()::xid) <> cardinality(physmessages) then
    raise exception 'content was to be written for messages that this transaction has not made'
      using hint = 'Nothing was written. This is a defect of dbmail-mesh: please report it.';
  end if;
  perform set_config('session_replication_role', 'replica', true);
  return true;
end
$$;
comment on function dbmail_mesh.spare_checks is 'Has foreign keys not checked row by row from here to resume_checks, for content of these physmessages, which this transaction has made. Returns whether it does: its owner needs the right to set session_replication_role, and nobody else must have triggers or foreign keys on the tables of content.';

create function dbmail_mesh.resume_checks() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('session_replication_role') = 'replica' then
    perform set_config('session_replication_role', 'origin', true);
  end if;
end
$$;
comment on function dbmail_mesh.resume_checks is 'Ends what spare_checks has begun.';

-- As before, and a name that is referred to stays until the transaction ends.
create or replace function dbmail_mesh.headername(name text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  found_id bigint;
begin
  select n.id into found_id from public.dbmail_headername n where lower(n.headername) = lower(name) for key share;
  if found_id is null then
    raise exception 'a header name is not here any more' using errcode = 'serialization_failure';
  end if;
  return found_id;
end
$$;

-- As before, but each part is given once, so that its bytes are neither copied nor compared to tell; and what is shared is itself locked, too.
drop function dbmail_mesh.store_parts(bigint[], smallint[], integer[], integer[], integer[], text[], bytea[], bigint[]);
create function dbmail_mesh.store_parts(hashes text[], datas bytea[], sizes bigint[], physmessages bigint[], is_headers smallint[],
  part_keys integer[], part_depths integer[], part_orders integer[], part_nos integer[])
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  ids bigint[];
begin
  with part as materialized (
    select p.part_no, shared.id as shared_id, coalesce(shared.id, nextval('public.dbmail_mimeparts_id_seq')) as id
    from unnest(hashes, datas, sizes) with ordinality p(hash, data, size, part_no)
    left join lateral (
      select m.id
      from (select m.id from public.dbmail_mimeparts m
            where m.hash = p.hash::char(256) and m.size = p.size and m.data = p.data order by m.id offset 0 for key share) m
      cross join lateral (select from public.dbmail_partlists l where l.part_id = m.id limit 1 for key share) l
      limit 1
    ) shared on true
  ), stored as (
    insert into public.dbmail_mimeparts (id, hash, data, size)
    select p.id, hashes[p.part_no], datas[p.part_no], sizes[p.part_no] from part p where p.shared_id is null order by p.part_no
  )
  select array_agg(p.id order by p.part_no) into ids from part p;
  insert into public.dbmail_partlists (physmessage_id, is_header, part_key, part_depth, part_order, part_id)
  select i.physmessage_id, i.is_header, i.part_key, i.part_depth, i.part_order, ids[i.part_no]
  from unnest(physmessages, is_headers, part_keys, part_depths, part_orders, part_nos)
    i(physmessage_id, is_header, part_key, part_depth, part_order, part_no);
end
$$;
comment on function dbmail_mesh.store_parts is 'Stores MIME parts, each given once, and their places in messages, which name the part by its number (from 1); equal parts that are here already are shared by value.';

create or replace function dbmail_mesh.store_sliced_part(physmessage bigint, is_header smallint, part_key integer, part_depth integer,
  part_order integer, hash text, size bigint, part_no bigint)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.store_parts(array[hash], array(select string_agg(s.data, ''::bytea order by s.slice_no) from dbmail_mesh.incoming_slice s
                                                     where s.part_no = store_sliced_part.part_no), array[size],
    array[physmessage], array[is_header], array[part_key], array[part_depth], array[part_order], array[1]);
  delete from dbmail_mesh.incoming_slice s where s.part_no = store_sliced_part.part_no;
end
$$;

-- So it is with names and values of headers.
drop function dbmail_mesh.store_headers(bigint[], text[], text[], text[], text[], text[]);
create function dbmail_mesh.store_headers(names text[], hashes text[], header_values text[], sortfields text[], datefields text[],
  physmessages bigint[], name_nos integer[], value_nos integer[])
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  name_ids bigint[] := array(select dbmail_mesh.headername(n.name) from unnest(names) with ordinality n(name, name_no) order by n.name_no);
  ids bigint[];
begin
  with val as materialized (
    select v.value_no, shared.id as shared_id, coalesce(shared.id, nextval('public.dbmail_headervalue_id_seq')) as id
    from unnest(hashes, header_values, sortfields, datefields) with ordinality v(hash, value, sortfield, datefield, value_no)
    left join lateral (
      select h.id
      from (select h.id from public.dbmail_headervalue h
            where h.hash = v.hash and h.headervalue = v.value and h.sortfield is not distinct from v.sortfield
              and h.datefield is not distinct from v.datefield::timestamp order by h.id offset 0 for key share) h
      cross join lateral (select from public.dbmail_header r where r.headervalue_id = h.id limit 1 for key share) r
      limit 1
    ) shared on true
  ), stored as (
    insert into public.dbmail_headervalue (id, hash, headervalue, sortfield, datefield)
    select v.id, hashes[v.value_no], header_values[v.value_no], sortfields[v.value_no], datefields[v.value_no]::timestamp
    from val v where v.shared_id is null order by v.value_no
  )
  select array_agg(v.id order by v.value_no) into ids from val v;
  -- Two values of the source may be one here.
  insert into public.dbmail_header (physmessage_id, headername_id, headervalue_id)
  select distinct i.physmessage_id, name_ids[i.name_no], ids[i.value_no]
  from unnest(physmessages, name_nos, value_nos) i(physmessage_id, name_no, value_no);
end
$$;
comment on function dbmail_mesh.store_headers is 'Stores header names and values, each given once, and their places in messages, which name them by their numbers (from 1); equal values that are here already are shared. The names are there already.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name, needs) values (31, 'bulk', 31);
