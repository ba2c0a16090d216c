-- $1 kind, $2 key, $3 whether it is there, $4 its value, $5 the stamp that it was seen with, $6 a stamp to be above.
select dbmail_mesh.restamp_entry($1, $2::text::jsonb, $3, $4::text::jsonb, $5, $6) as done
