-- $1 physmessage, $2 is_header, $3 part_key, $4 part_depth, $5 part_order, $6 hash, $7 data, $8 size.
select dbmail_mesh.store_parts($1::bigint[], $2::smallint[], $3::integer[], $4::integer[], $5::integer[], $6::text[], $7::bytea[],
                               $8::bigint[])
