-- A node that has handed out nothing yet starts above the mail that was elsewhere before. $1 that UID.
update dbmail_mesh.local_node
set uid_floor = greatest(uid_floor, dbmail_mesh.next_uid($1::bigint))
