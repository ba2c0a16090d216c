-- Moves this node's sequences past ids that came from elsewhere, so that a delivery finds a free number at once. Never back; at
-- the most some thousand numbers a call.
-- $1 highest UID applied, $2 highest mailbox_idnr applied.
select dbmail_mesh.keep_up($1, $2)
