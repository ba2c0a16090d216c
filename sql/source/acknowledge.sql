-- $1 the target, $2 the snapshot below which it holds everything durably, $3 the one below which it holds what came from third nodes, too.
-- Whoever has left is kept nothing for.
insert into dbmail_mesh.acknowledged as a (target_id, snapshot, relayed_snapshot)
select $1::smallint, $2::text::pg_snapshot, $3::text::pg_snapshot
where not exists (select from dbmail_mesh.peer p where p.node_id = $1::smallint and p.left_at is not null)
on conflict (target_id) do update
set snapshot = excluded.snapshot, relayed_snapshot = coalesce(excluded.relayed_snapshot, a.relayed_snapshot), at = clock_timestamp()
