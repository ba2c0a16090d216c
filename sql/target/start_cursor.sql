-- A new link begins with a first copy; changes are followed from the snapshot that was taken before it.
-- $1 the source, $2 that snapshot, $3 to $5 the source's newest outbox row then: id, transaction, time.
insert into dbmail_mesh.cursor (source_id, from_snapshot, relayed_snapshot, copy_stage, witness_id, witness_xid, witness_at)
values ($1, $2::text::pg_snapshot, $2::text::pg_snapshot, 'u', $3, $4::text::xid8, $5)
on conflict do nothing
