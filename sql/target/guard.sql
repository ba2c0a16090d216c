-- $1 milliseconds that a lock is waited for, $2 milliseconds that a statement, and a pause between two, may last. Fails where this
-- program must not write, and where the term of this worker is over.
select dbmail_mesh.guard($1, $2), dbmail_mesh.admit_program(), dbmail_mesh.hold_term()
