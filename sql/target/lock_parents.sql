-- Links into a node join accounts and mailboxes one after the other: what names are free is decided on what all of them have brought.
-- Nobody but the worker takes this lock. Fails where this program must not write, and where the term of this worker is over.
select pg_advisory_xact_lock(1684169071, 0), dbmail_mesh.admit_program(), dbmail_mesh.hold_term()
