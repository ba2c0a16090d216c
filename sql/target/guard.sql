-- $1 milliseconds.
select dbmail_mesh.guard($1)
