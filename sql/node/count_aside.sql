-- How many rows of a source this node could not join. $1 the source.
select count(*) as rows from dbmail_mesh.set_aside a where a.source_id = $1::smallint
