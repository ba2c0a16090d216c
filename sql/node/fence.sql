-- The highest known $1 UID, $2 mailbox_idnr, $3 physmessage id of this node; $4 how many numbers more are passed over.
select dbmail_mesh.fence($1, $2, $3, $4)
