-- $1 dbmail_physmessage.id.
select dbmail_mesh.keep_content($1::bigint[]) as physmessage_id
