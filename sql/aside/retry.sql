-- $1 the source; null: all. $2 a kind; null: all. $3 keys; null: all.
select dbmail_mesh.retry($1::smallint, $2::text, $3::bigint[]) as rows
