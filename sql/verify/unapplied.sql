-- Whether something that a snapshot of this node sees has not been applied by a target. That HIGHESTMODSEQ went up is none of it.
-- $1 the target's cursor, $2 the snapshot.
select exists (
  select from dbmail_mesh.outbox o
  where o.origin is null and o.kind not in ('s', 'n')
    and o.txid >= pg_snapshot_xmin($1::text::pg_snapshot) and o.txid < pg_snapshot_xmax($2::text::pg_snapshot)
    and not pg_visible_in_snapshot(o.txid, $1::text::pg_snapshot)
    and pg_visible_in_snapshot(o.txid, $2::text::pg_snapshot)) as found
