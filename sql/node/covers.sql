-- Whether the first snapshot sees all that the second one sees. $1, $2.
select dbmail_mesh.covers($1::text::pg_snapshot, $2::text::pg_snapshot)
