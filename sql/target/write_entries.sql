-- $1 the plan.
select dbmail_mesh.write_entries($1)
