-- $1 physmessage ids.
select dbmail_mesh.readdress($1)
