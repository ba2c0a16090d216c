-- $1 born_as, $2 generation, $3 userids.
select dbmail_mesh.lock_accounts($1::text[], $2::integer[], $3::text[])
