-- Which messages wait here for a new UID? They arrived with one that is at or below what clients of this node may have been shown.
-- hidden: nobody sees it until it is settled; otherwise it is visible under its old UID meanwhile. A few seconds are normal.
--   psql -f sql/inspect/late.sql dbmail
--   psql -v user=alice -v mailbox=INBOX -f sql/inspect/late.sql dbmail
-- rows: the most rows [50].
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

select l.owner, l.mailbox, l.uid, l.high as above, date_trunc('second', l.first_seen) as since, date_trunc('second', l.waiting) as for,
       not l.is_visible as hidden, l.birth_uid
from dbmail_mesh.late_messages l
where (:'user' = '' or l.owner = :'user') and (:'mailbox' = '' or lower(l.mailbox) = lower(:'mailbox'))
order by l.first_seen
limit :'rows'::bigint;
