-- $1 the target, $2 the snapshot below which it holds everything durably.
insert into dbmail_mesh.acknowledged as a (target_id, snapshot) values ($1, $2::text::pg_snapshot)
on conflict (target_id) do update set snapshot = excluded.snapshot, at = clock_timestamp()
