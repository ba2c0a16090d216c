-- The nodes of which something could not be joined that can be asked of $1 as well, and is not yet.
select distinct a.source_id as node_id
from dbmail_mesh.set_aside a
where a.source_id <> $1::smallint and a.kind in ('m', 'b')
  and not exists (select from dbmail_mesh.set_aside b where b.source_id = $1::smallint and b.kind = a.kind and b.key = a.key)
order by 1
