-- $1 the most.
select dbmail_mesh.forget_signs($1)
