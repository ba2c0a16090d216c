-- Only one runner at a time may migrate a database. Ends with the session at the latest.
select pg_try_advisory_lock($1) as locked
