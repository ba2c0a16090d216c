-- $1 mailbox_idnr.
select dbmail_mesh.found_again($1) as new_id
