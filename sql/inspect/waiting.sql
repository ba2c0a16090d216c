-- What waits on this node, for how long, and why? No rows: nothing. What is at the top has waited the longest.
-- "late messages" are settled within seconds as a rule; a link that fails, or is paused, holds up what comes over it.
--   psql -f sql/inspect/waiting.sql dbmail

select w.what, w.where_ as "where", w.rows, date_trunc('second', w.since) as since, date_trunc('second', clock_timestamp() - w.since) as for, w.why
from dbmail_mesh.waiting w
order by w.since nulls last;
