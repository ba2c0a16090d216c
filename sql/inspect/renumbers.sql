-- What was renumbered on this node, from what to what, and which node decided? Newest first.
-- seen: clients of this node could have seen the old UID, and download the message again. decided and applied differ on nodes that took no
-- part in the settlement, or whose clocks do.
--   psql -f sql/inspect/renumbers.sql dbmail
--   psql -v user=alice -v mailbox=INBOX -v node=fra -v days=30 -v rows=500 -f sql/inspect/renumbers.sql dbmail
-- days: how far back [7]. rows: the most rows [50]. Reads the log from that day on.
\if :{?user}
\else
\set user ''
\endif
\if :{?mailbox}
\else
\set mailbox ''
\endif
\if :{?node}
\else
\set node ''
\endif
\if :{?days}
\else
\set days 7
\endif
\if :{?rows}
\else
\set rows 50
\endif

select date_trunc('second', r.applied_at) as applied, r.owner, r.mailbox, r.old_uid, r.new_uid, r.was_visible as seen, r.decided_on,
       date_trunc('second', r.decided_at) as decided
from dbmail_mesh.renumbers r
where r.applied_at >= now() - :'days'::double precision * interval '1 day'
  and (:'user' = '' or r.owner = :'user') and (:'mailbox' = '' or lower(r.mailbox) = lower(:'mailbox'))
  and (:'node' = '' or r.decided_on = :'node')
order by r.applied_at desc, r.new_uid desc
limit :'rows'::bigint;
