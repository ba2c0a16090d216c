-- One worker drives a link: a session lock on its target. $1 the source.
select pg_try_advisory_lock(1684169070, $1::smallint::integer)
