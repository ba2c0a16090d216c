-- $1 the source.
select c.from_snapshot::text as from_snapshot, c.to_snapshot::text as to_snapshot, c.relayed_snapshot::text as relayed_snapshot, c.last_id,
       c.copy_stage, c.copy_position, c.witness_id,
       c.witness_xid::text as witness_xid, c.witness_at
from dbmail_mesh.cursor c
where c.source_id = $1
