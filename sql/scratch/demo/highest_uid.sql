-- The highest UID that was ever visible in any mailbox of this node.
select coalesce(max(high), 0) as high from dbmail_mesh.line
