-- The highest UID that a delivery took without the lock of a mailbox, as far as that is not seen to yet. $1 mailbox_idnr.
select max(o.uid) as uid from dbmail_mesh.overtaking o where o.mailbox_idnr = $1
