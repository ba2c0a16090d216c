-- $1 milliseconds that a lock is waited for, $2 milliseconds that a statement, and a pause between two, may last.
select dbmail_mesh.guard($1, $2)
