-- $1 mailbox_idnr.
select f.mailbox_idnr, f.new_idnr from dbmail_mesh.found_again($1) f
