-- Each name and value once: $1 name, $2 hash, $3 value, $4 sortfield, $5 datefield. Their places: $6 physmessage, $7 number of the name
-- and $8 of the value, from 1.
select dbmail_mesh.store_headers($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[], $8::integer[])
