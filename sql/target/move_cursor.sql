-- Moves the cursor on if it stands where the worker believes it to stand; no row otherwise.
-- $1 the source; believed: $2 from, $3 transaction, $4 id, $5 copy stage, $6 copy position; new: $7 from, $8 to, $9 transaction,
-- $10 id, $11 copy stage, $12 copy position; $13 messages joined.
update dbmail_mesh.cursor c
set from_snapshot = $7::text::pg_snapshot, to_snapshot = $8::text::pg_snapshot, last_txid = $9::text::xid8, last_id = $10,
    copy_stage = $11, copy_position = $12, batches = c.batches + 1, messages = c.messages + $13, moved_at = clock_timestamp()
where c.source_id = $1 and c.from_snapshot::text = $2 and c.last_txid = $3::text::xid8 and c.last_id = $4
  and c.copy_stage is not distinct from $5 and c.copy_position = $6
returning c.source_id
