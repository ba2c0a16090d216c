-- $1 birth UIDs, $2 since when each has been visible.
select dbmail_mesh.queue_visible($1::bigint[], $2::timestamptz[]) as queued
