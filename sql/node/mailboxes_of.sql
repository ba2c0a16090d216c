-- $1 birth UIDs.
select dbmail_mesh.mailboxes_of($1::bigint[])
