-- Moves this node's sequences towards ids that came from elsewhere: UIDs in the order of time, roughly, and mailbox ids. Never back.
-- $1 highest UID applied, $2 highest mailbox_idnr applied.
select dbmail_mesh.keep_up($1, $2)
