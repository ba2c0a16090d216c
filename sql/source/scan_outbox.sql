-- Keys that became visible between two snapshots: those that fit one batch, in no order. What is read afterwards is the current
-- state of the keys, so their order does not matter.
-- $1 from, $2 to (snapshots), $3 the most rows.
select o.id, o.kind, o.key, o.txid::text::bigint as xid, o.at
from dbmail_mesh.outbox o
where o.txid >= pg_snapshot_xmin($1::text::pg_snapshot)
  and o.txid < pg_snapshot_xmax($2::text::pg_snapshot)
  and not pg_visible_in_snapshot(o.txid, $1::text::pg_snapshot)
  and pg_visible_in_snapshot(o.txid, $2::text::pg_snapshot)
  and o.origin is null
limit $3
