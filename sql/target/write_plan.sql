-- $1 the plan.
select dbmail_mesh.write_plan($1)
