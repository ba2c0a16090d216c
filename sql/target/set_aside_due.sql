-- $1 the source, $2 seconds between tries, $3 the most rows.
select a.kind, a.key
from dbmail_mesh.set_aside a
where a.source_id = $1 and a.last_tried < clock_timestamp() - make_interval(secs => $2::double precision)
order by a.last_tried
limit $3
