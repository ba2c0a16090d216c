-- $1 birth UIDs.
select dbmail_mesh.forget_death($1)
