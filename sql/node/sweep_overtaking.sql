-- $1 mailbox_idnr.
select dbmail_mesh.sweep_overtaking($1)
