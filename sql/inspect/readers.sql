-- Which UIDs may clients of this node have been told of, and why? What arrives with a UID above "reported" is shown as it is, the rest gets
-- a new one. A mailbox that nobody reads here has 0, and costs nothing.
--   psql -v user=alice -f sql/inspect/readers.sql dbmail
--   psql -v user=alice -v mailbox=INBOX -f sql/inspect/readers.sql dbmail
-- rows: the most rows [50]. Without a user all mailboxes are looked at: about a minute a million.
\if :{?user}
\else
\set user ''
\endif
\if :{?mailbox}
\else
\set mailbox ''
\endif
\if :{?rows}
\else
\set rows 50
\endif

select r.owner, r.mailbox, r.mailbox_idnr as id, r.high, r.reported, date_trunc('second', r.read_until) as read_until, r.why
from dbmail_mesh.reported_lines r
where (:'user' = '' or r.owner = :'user') and (:'mailbox' = '' or lower(r.mailbox) = lower(:'mailbox'))
order by r.owner, r.mailbox
limit :'rows'::bigint;
