-- $1 part, $2 slice, $3 data.
insert into dbmail_mesh.incoming_slice (part_no, slice_no, data) values ($1, $2, $3)
