-- MIME parts in their places. A part larger than $2 bytes comes without its data: it is read in slices.
-- Each is looked up by its key, whatever the statistics say of the table.
-- $1 dbmail_physmessage.id, $2 bytes.
select l.physmessage_id, l.is_header, l.part_key, l.part_depth, l.part_order, l.part_id, rtrim(m.hash) as hash, m.size,
       octet_length(m.data)::bigint as bytes, case when octet_length(m.data) <= $2::bigint then m.data end as data
from public.dbmail_partlists l
cross join lateral (select m.* from public.dbmail_mimeparts m where m.id = l.part_id offset 0) m
where l.physmessage_id = any ($1::bigint[])
order by l.physmessage_id, l.part_key, l.part_depth, l.part_order
