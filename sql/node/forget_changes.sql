-- $1 the most rows.
select dbmail_mesh.forget_changes($1)
