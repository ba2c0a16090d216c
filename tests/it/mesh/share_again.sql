-- Parts and headers of a message that is here, once more, for another one. $1 its physmessage.
with parts as (
  select array_agg(l.is_header) as is_headers, array_agg(l.part_key) as part_keys, array_agg(l.part_depth) as depths, array_agg(l.part_order) as orders,
         array_agg(rtrim(m.hash)) as hashes, array_agg(m.data) as datas, array_agg(m.size) as sizes, count(*)::integer as n
  from dbmail_partlists l join dbmail_mimeparts m on m.id = l.part_id
), headers as (
  select array_agg(n.headername::text) as names, array_agg(v.hash::text) as hashes, array_agg(v.headervalue) as vals, array_agg(v.sortfield::text) as sortfields,
         array_agg(v.datefield::text) as datefields, count(*)::integer as n
  from dbmail_header h join dbmail_headervalue v on v.id = h.headervalue_id
  join dbmail_headername n on n.id = h.headername_id
)
select dbmail_mesh.store_parts(p.hashes, p.datas, p.sizes, array_fill($1::bigint, array[p.n]), p.is_headers, p.part_keys, p.depths, p.orders,
                               array(select generate_series(1, p.n))),
       dbmail_mesh.store_headers(h.names, h.hashes, h.vals, h.sortfields, h.datefields, array_fill($1::bigint, array[h.n]), array(select generate_series(1, h.n)),
                                 array(select generate_series(1, h.n)))
from parts p, headers h
