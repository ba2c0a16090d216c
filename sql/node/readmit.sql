-- $1 node id, $2 its name, $3 its incarnation.
select dbmail_mesh.readmit($1, $2, $3::text::uuid)
