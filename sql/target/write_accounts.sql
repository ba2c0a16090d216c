-- $1 the plan.
select dbmail_mesh.write_accounts($1)
