-- Whether a transaction is under way that was when the snapshot $1 was taken.
select pg_snapshot_xmin(pg_current_snapshot()) < pg_snapshot_xmax($1::text::pg_snapshot) as still_open
