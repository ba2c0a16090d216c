-- The snapshot of the scan: it becomes the cursor once everything that it sees is applied. And whether changes were cut off that somebody
-- who is at $1 has not taken over.
select pg_current_snapshot()::text as snapshot, coalesce(n.trimmed >= pg_snapshot_xmin($1::text::pg_snapshot), false) as is_trimmed
from dbmail_mesh.local_node n
