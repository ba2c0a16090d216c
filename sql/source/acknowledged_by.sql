-- Whether a target has gone back in time: it has said that it holds more than its cursor knows of.
-- $1 the target, $2 its cursor.
select pg_snapshot_xmax(a.snapshot) > pg_snapshot_xmax($2::text::pg_snapshot) as went_back
from dbmail_mesh.acknowledged a
where a.target_id = $1
