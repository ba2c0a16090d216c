-- $1 physmessage, $2 name, $3 hash, $4 value, $5 sortfield, $6 datefield.
select dbmail_mesh.store_headers($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
