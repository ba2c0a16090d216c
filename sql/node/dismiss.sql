-- $1 node id.
select dbmail_mesh.dismiss($1)
