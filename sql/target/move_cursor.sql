-- Moves the cursor on if it stands where the worker believes it to stand; no row otherwise.
-- $1 the source; believed: $2 from, $3 id, $4 copy stage, $5 copy position; new: $6 from, $7 to, $8 id, $9 copy stage,
-- $10 copy position; $11 messages joined; $12 to $14 the last outbox row, if there is one; $15 up to where all that the
-- source had is here.
update dbmail_mesh.cursor c
set from_snapshot = $6::text::pg_snapshot, to_snapshot = $7::text::pg_snapshot, last_id = $8, copy_stage = $9, copy_position = $10,
    batches = c.batches + 1, messages = c.messages + $11, moved_at = clock_timestamp(),
    witness_id = coalesce($12, c.witness_id), witness_xid = coalesce($13::text::xid8, c.witness_xid),
    witness_at = coalesce($14, c.witness_at), relayed_snapshot = coalesce($15::text::pg_snapshot, c.relayed_snapshot)
where c.source_id = $1 and c.from_snapshot::text = $2 and c.last_id = $3 and c.copy_stage is not distinct from $4
  and c.copy_position = $5
  and not exists (select from dbmail_mesh.local_node n where n.left_at is not null)
returning c.source_id
