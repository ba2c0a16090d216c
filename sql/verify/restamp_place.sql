-- $1 birth UID, $2 its row, $3 its mailbox, $4 a stamp to be above.
select dbmail_mesh.restamp_place($1, $2, $3, $4) as done
