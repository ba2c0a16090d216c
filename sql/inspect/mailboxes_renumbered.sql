-- In which mailboxes are messages renumbered the most, and why? Those with the most first.
-- read_because: why this node takes the mailbox for one that clients read; without that nothing would be late in it. A mailbox that all
-- nodes deliver to while clients read on all of them is at the top; its users are better off with one node for themselves.
-- messages well below renumbers: some were renumbered several times, as happens when nodes are apart again and again.
--   psql -f sql/inspect/mailboxes_renumbered.sql dbmail
--   psql -v days=90 -v rows=100 -f sql/inspect/mailboxes_renumbered.sql dbmail
-- days: how far back [7]. rows: the most rows [50]. Reads the log from that day on: about five seconds a million rows.
\if :{?days}
\else
\set days 7
\endif
\if :{?rows}
\else
\set rows 50
\endif

select r.owner, r.mailbox, r.mailbox_idnr as id, r.renumbers, r.messages, r.seen, date_trunc('second', r.last_at) as last, r.decided_on,
       r.read_because
from dbmail_mesh.mailboxes_renumbered(now() - :'days'::double precision * interval '1 day') r
order by r.renumbers desc, r.mailbox_idnr
limit :'rows'::bigint;
