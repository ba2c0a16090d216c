-- What was expunged, when, and in which mailbox? Newest first.
-- died: when this node expunged it, or was told: the node on which it is earliest is where it happened. born_on: where it was delivered.
-- An expunge is for ever; the content is dbmail's until dbmail-util purges it, on each node by itself.
--   psql -f sql/inspect/expunged.sql dbmail
--   psql -v user=alice -v mailbox=INBOX -v days=30 -v rows=500 -f sql/inspect/expunged.sql dbmail
-- days: how far back [7]. rows: the most rows [50]. Reads the tombstones from that day on.
\if :{?user}
\else
\set user ''
\endif
\if :{?mailbox}
\else
\set mailbox ''
\endif
\if :{?days}
\else
\set days 7
\endif
\if :{?rows}
\else
\set rows 50
\endif

select date_trunc('second', e.died_at) as died, e.owner, e.mailbox, e.mailbox_is, e.uid, e.birth_uid, e.born_on
from dbmail_mesh.expunges e
where e.died_at >= now() - :'days'::double precision * interval '1 day'
  and (:'user' = '' or e.owner = :'user') and (:'mailbox' = '' or lower(e.mailbox) = lower(:'mailbox'))
order by e.died_at desc, e.uid desc
limit :'rows'::bigint;
