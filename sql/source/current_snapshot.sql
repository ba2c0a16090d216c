-- The snapshot of the scan: it becomes the cursor once everything that it sees is applied.
select pg_current_snapshot()::text
