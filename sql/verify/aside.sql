-- Rows of sources that could not be joined here. $1 how many at the most.
select a.source_id, a.kind, a.key, a.reason
from dbmail_mesh.set_aside a
order by a.source_id, a.kind, a.key
limit $1
