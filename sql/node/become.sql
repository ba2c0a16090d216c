-- $1 node id, $2 its name, $3 why.
select dbmail_mesh.become($1, $2, $3)::text
