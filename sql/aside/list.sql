-- Rows that were set aside here, the oldest first.
-- $1 sources; null: all. $2 kinds as in the view; null: all. $3 the most rows.
select a.source_id, a.source, a.kind, a.key, a.waits, a.sqlstate, a.reason, a.first_seen, a.last_tried, a.tries, a.next_try
from dbmail_mesh.aside a
where ($1::smallint[] is null or a.source_id = any ($1)) and ($2::text is null or a.kind = $2)
order by a.first_seen, a.source_id, a.kind, a.key
limit $3
