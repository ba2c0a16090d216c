-- $1 the source, $2 the most rows.
select a.kind, a.key
from dbmail_mesh.set_aside a
where a.source_id = $1 and a.next_try <= clock_timestamp()
order by a.next_try, a.kind, a.key
limit $2
