-- Keys that became visible between two snapshots, in the order of the index: what is read afterwards is the current state of
-- the keys, so their order does not matter.
-- $1 from, $2 to (snapshots), $3 and $4 the last transaction and id that are done, $5 the most rows.
select o.txid::text as txid, o.id, o.kind, o.key
from dbmail_mesh.outbox o
where o.txid >= pg_snapshot_xmin($1::text::pg_snapshot)
  and o.txid < pg_snapshot_xmax($2::text::pg_snapshot)
  and (o.txid, o.id) > ($3::text::xid8, $4::bigint)
  and not pg_visible_in_snapshot(o.txid, $1::text::pg_snapshot)
  and pg_visible_in_snapshot(o.txid, $2::text::pg_snapshot)
order by o.txid, o.id
limit $5
