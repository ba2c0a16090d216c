-- $1 physmessage, $2 is_header, $3 part_key, $4 part_depth, $5 part_order, $6 hash, $7 size, $8 part.
select dbmail_mesh.store_sliced_part($1, $2, $3, $4, $5, $6, $7, $8)
