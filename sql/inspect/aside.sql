-- Which rows of its sources could this node not join, why, and when are they tried again? The oldest first.
-- "waits": for a mailbox or an account that is not here. All others were refused; "dbmail-mesh aside" also tells what they are called.
--   psql -v rows=50 -f sql/inspect/aside.sql dbmail

\if :{?rows}
\else
  \set rows 50
\endif
select a.source, a.kind, a.key, a.waits, date_trunc('second', a.first_seen) as first, a.tries,
       date_trunc('second', a.next_try) as next, a.reason
from dbmail_mesh.aside a
order by a.first_seen, a.source_id, a.kind, a.key
limit :rows;
