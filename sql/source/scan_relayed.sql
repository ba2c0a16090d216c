-- Keys of what came from third nodes and became visible between two snapshots, as far as the target may lack it, in the order in which
-- it was applied here. Messages go first, by themselves: when it is told then that a mailbox is gone, so are those that went with it.
-- $1 the snapshot up to which the target has everything (null: not known), $2 the one up to which is looked, $3 the last id that is
-- done, $4 the most rows; $5 the third nodes, $6 the transaction of each below which the target has everything (null: none);
-- $7 messages, or all else.
select o.id, o.kind, o.key, o.txid::text::bigint as xid, o.at
from dbmail_mesh.outbox o
join unnest($5::smallint[], $6::text[]) k(node_id, has_below) on k.node_id = o.origin
where o.id > $3
  and o.txid < pg_snapshot_xmax($2::text::pg_snapshot) and pg_visible_in_snapshot(o.txid, $2::text::pg_snapshot)
  and ($1::text is null
       or o.txid >= pg_snapshot_xmin($1::text::pg_snapshot) and not pg_visible_in_snapshot(o.txid, $1::text::pg_snapshot))
  and (o.source_xid is null or k.has_below is null or o.source_xid >= k.has_below::xid8)
  and (o.kind in ('m', 'n')) = $7
order by o.id
limit $4
