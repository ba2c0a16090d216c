-- Whether a link has applied all that a transaction of its source has changed. $1 the source, $2 the transaction.
select from dbmail_mesh.cursor c
where c.source_id = $1 and c.copy_stage is null and pg_visible_in_snapshot($2::text::xid8, c.from_snapshot)
