-- $1 node id.
select dbmail_mesh.forget_peer($1)
