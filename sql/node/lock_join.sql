-- One join of a node at a time, for as long as the session lives.
select pg_try_advisory_lock(1684169073, 0) as locked
