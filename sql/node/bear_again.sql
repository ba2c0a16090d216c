-- $1 the birth UID.
select dbmail_mesh.bear_again($1) as new_id
