-- What is committed here.
select pg_current_snapshot()::text as snapshot
