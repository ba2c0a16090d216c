-- How far this node has taken over what each source has.
select source_id, from_snapshot::text as snapshot from dbmail_mesh.cursor where copy_stage is null
