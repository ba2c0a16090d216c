-- A new link begins with a first copy; changes are followed from the snapshot that was taken before it.
-- $1 the source, $2 that snapshot.
insert into dbmail_mesh.cursor (source_id, from_snapshot, copy_stage) values ($1, $2::text::pg_snapshot, 'u')
on conflict do nothing
