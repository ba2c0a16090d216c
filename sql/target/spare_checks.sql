-- Foreign keys of content need not be checked row by row, where a DBA has given the right to leave that out. $1 the physmessages that this
-- transaction has made.
select dbmail_mesh.spare_checks($1)
