-- One worker writes to a node: a session lock.
select pg_try_advisory_lock(1684169070, 0) as active
