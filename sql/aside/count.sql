-- How many there are. $1 and $2 as in list.sql.
select count(*) as rows
from dbmail_mesh.aside a
where ($1::smallint[] is null or a.source_id = any ($1)) and ($2::text is null or a.kind = $2)
