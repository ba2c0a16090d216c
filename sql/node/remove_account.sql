-- $1 account.id.
select dbmail_mesh.remove_account($1)
