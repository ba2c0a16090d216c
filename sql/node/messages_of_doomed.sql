-- $1 mailbox_idnr, $2 the most rows.
select dbmail_mesh.messages_of_doomed($1, $2)
