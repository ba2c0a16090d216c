-- $1 the birth UID, $2 the one under which it was born again.
select dbmail_mesh.is_born_as($1, $2)
