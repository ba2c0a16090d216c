-- The next rows of a range that is being worked through, by id: see scan_outbox_in_order.sql. No bound on the transaction: all rows of the
-- rest of the range would be found by it, and sorted, for each batch anew.
-- $1 from, $2 to (snapshots), $3 the last id that is done, $4 the most rows.
select o.id, o.kind, o.key, o.txid::text::bigint as xid, o.at
from dbmail_mesh.outbox o
where o.id > $3
  and not pg_visible_in_snapshot(o.txid, $1::text::pg_snapshot)
  and pg_visible_in_snapshot(o.txid, $2::text::pg_snapshot)
  and o.origin is null
order by o.id
limit $4
