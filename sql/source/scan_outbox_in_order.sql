-- The same when there are more than fit one batch: by id, so that a mailbox's new messages come in the order of their UIDs, whose
-- numbers were drawn under its line's lock. By transaction id, a message could be cut off from one before it, and be late.
-- The first batch of a range: where it begins in the outbox is not known. See scan_outbox_onwards.sql.
-- $1 from, $2 to (snapshots), $3 the most rows.
select o.id, o.kind, o.key, o.txid::text::bigint as xid, o.at
from dbmail_mesh.outbox o
where o.txid >= pg_snapshot_xmin($1::text::pg_snapshot)
  and o.txid < pg_snapshot_xmax($2::text::pg_snapshot)
  and not pg_visible_in_snapshot(o.txid, $1::text::pg_snapshot)
  and pg_visible_in_snapshot(o.txid, $2::text::pg_snapshot)
  and o.origin is null
order by o.id
limit $3
