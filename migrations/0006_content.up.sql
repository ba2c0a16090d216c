-- dbmail-mesh 0006: contents of messages that come from other nodes.
--
-- Rows that are already here are shared, as dbmail shares them, but only while something refers to them, and that reference
-- is locked until commit: dbmail-util deletes what nothing refers to, and the foreign keys would take our new rows along.

create function dbmail_mesh.find_content(origin_nodes smallint[], origin_ids bigint[])
returns table (origin_node smallint, origin_id bigint, physmessage_id bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
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
  ) g
$$;
comment on function dbmail_mesh.find_content is 'The local physmessages of contents that this node has. Takes no lock: see keep_content.';

-- Not while content is being shipped: a DELETE of a mailbox, and with it every delivery into it, would wait for a slow source.
create function dbmail_mesh.keep_content(physmessages bigint[]) returns setof bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select g.physmessage_id
    from unnest(physmessages) p(id)
    cross join lateral (
      select g.physmessage_id from public.dbmail_messages g where g.physmessage_id = p.id
      order by g.message_idnr limit 1 for key share
    ) g;
end
$$;
comment on function dbmail_mesh.keep_content is 'Locks what keeps shared contents alive until commit; returns those that are still alive.';

create function dbmail_mesh.store_physmessages(origin_nodes smallint[], origin_ids bigint[], messagesizes bigint[],
  rfcsizes bigint[], internal_dates text[])
returns table (origin_node smallint, origin_id bigint, physmessage_id bigint)
language sql security definer set search_path = pg_catalog, pg_temp
as $$
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
  select n.origin_node, n.origin_id, n.id from numbered n
$$;
comment on function dbmail_mesh.store_physmessages is 'Makes physmessages for contents of other nodes, under this node''s own next ids.';

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
      select m.id from public.dbmail_mimeparts m join public.dbmail_partlists l on l.part_id = m.id
      where m.hash = p.hash::char(256) and m.size = p.size and m.data = p.data
      order by m.id limit 1 for key share of l
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

create function dbmail_mesh.store_sliced_part(physmessage bigint, is_header smallint, part_key integer, part_depth integer,
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
comment on function dbmail_mesh.store_sliced_part is 'Stores a MIME part that came in slices.';

-- dbmail-util may remove a name that was made a moment ago and that nothing refers to yet: then say so, and drop no header.
create function dbmail_mesh.headername(name text) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  found_id bigint;
begin
  select n.id into found_id from public.dbmail_headername n where lower(n.headername) = lower(name);
  if found_id is null then
    raise exception 'header name % is not here any more', quote_literal(name) using errcode = 'serialization_failure';
  end if;
  return found_id;
end
$$;
comment on function dbmail_mesh.headername is 'The id of a header name. Fails, to be tried again, when it has just been removed.';

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
      select h.id from public.dbmail_headervalue h join public.dbmail_header r on r.headervalue_id = h.id
      where h.hash = v.hash and h.headervalue = v.value and h.sortfield is not distinct from v.sortfield
        and h.datefield is not distinct from v.datefield::timestamp
      order by h.id limit 1 for key share of r
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

insert into dbmail_mesh.migration (version, name) values (6, 'content');
