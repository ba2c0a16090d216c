-- The parts, each once: $1 hash, $2 data, $3 size. Their places: $4 physmessage, $5 is_header, $6 part_key, $7 part_depth, $8 part_order,
-- $9 the number of the part among those, from 1.
select dbmail_mesh.store_parts($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::smallint[], $6::integer[], $7::integer[],
                               $8::integer[], $9::integer[])
