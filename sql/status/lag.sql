-- How many of this node's changes to messages each target has not applied, and for how long the oldest of them has been waiting.
-- While a target works through a large range ($3 is not null), the rows up to its position are done, but only those that
-- the range's snapshot sees: what committed later comes with the next range, wherever its place is.
-- $1 targets; of their cursors: $2 from_snapshot, $3 to_snapshot, $4 last_txid, $5 last_id.
select i.target_id, w.lag_messages, w.lag_seconds
from unnest($1::smallint[], $2::text[]::pg_snapshot[], $3::text[]::pg_snapshot[], $4::text[]::xid8[], $5::bigint[])
  i(target_id, from_snapshot, to_snapshot, last_txid, last_id)
cross join lateral (
  select count(*) as lag_messages,
         coalesce(greatest(extract(epoch from clock_timestamp() - min(o.at)), 0), 0)::double precision as lag_seconds
  from dbmail_mesh.outbox o
  where o.kind = 'm'
    and o.txid >= pg_snapshot_xmin(i.from_snapshot)
    and not pg_visible_in_snapshot(o.txid, i.from_snapshot)
    and (i.to_snapshot is null or (o.txid, o.id) > (i.last_txid, i.last_id) or not pg_visible_in_snapshot(o.txid, i.to_snapshot))
) w
