-- How big is the outbox, and who holds it? It is emptied below what all peers have acknowledged (worker.outbox_keep later).
-- The first table is the whole, the second what each peer has not acknowledged; "holds": because of this one nothing more is removed.
-- Also looks for what keeps VACUUM from freeing removed rows: the oldest transaction in the cluster, of those that the role may see:
-- without pg_read_all_stats that is its own.
-- Reads the outbox once, and once a peer from what that has acknowledged on: about a second a million rows and peer.
--   psql -f sql/inspect/outbox.sql dbmail

\echo 'Whole'
select count(*) as rows, count(*) filter (where o.kind in ('m', 'n')) as messages, count(*) filter (where o.origin is not null) as from_elsewhere,
       date_trunc('second', min(o.at)) as oldest, pg_size_pretty(pg_total_relation_size('dbmail_mesh.outbox')) as size,
       (select date_trunc('second', max(clock_timestamp() - a.xact_start)) from pg_stat_activity a where a.backend_xmin is not null)
         as oldest_transaction
from dbmail_mesh.outbox o;

\echo 'By peer'
select b.peer, date_trunc('second', b.acknowledged_at) as acknowledged, b.rows, b.messages, b.oldest_seconds, b.holds
from dbmail_mesh.outbox_by_peer b
order by b.oldest nulls last, b.peer_id;
