-- $1 the plan: what the worker decided for mailboxes.
select dbmail_mesh.write_mailboxes($1)
