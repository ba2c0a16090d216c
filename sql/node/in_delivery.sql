-- $1 birth UIDs.
select dbmail_mesh.in_delivery($1::bigint[])
