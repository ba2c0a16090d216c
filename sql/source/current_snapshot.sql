-- The snapshot of the scan: it becomes the cursor once everything that it sees is applied. And what is in the way of somebody who is at $1:
-- changes that were cut off and that he has not taken over; that this node has gone back in time: it has handed out fewer transactions
-- than he has already seen of it, or lacks the last change that he has applied ($2 to $4 the outbox row of that change: id, transaction,
-- and when it was written); or that no link may touch it.
select pg_current_snapshot()::text as snapshot, coalesce(n.trimmed >= pg_snapshot_xmin($1::text::pg_snapshot), false) as is_trimmed,
       coalesce(pg_snapshot_xmax($1::text::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot()), false)
       or dbmail_mesh.has_gone_back($2, $3::text::xid8, $4) as went_back,
       n.left_at is not null as stays_out
from dbmail_mesh.local_node n
