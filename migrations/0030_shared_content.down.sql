-- dbmail-mesh 0030, down.

set local lock_timeout = '250ms';

create or replace function dbmail_mesh.store_parts(physmessages bigint[], is_headers smallint[], part_keys integer[], part_depths integer[],
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

create or replace function dbmail_mesh.store_headers(physmessages bigint[], names text[], hashes text[], header_values text[],
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

delete from dbmail_mesh.migration where version = 30;
