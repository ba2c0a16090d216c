-- $1 mailbox_idnr.
select dbmail_mesh.remove_mailbox($1)
