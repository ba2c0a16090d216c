-- A user says that mail vanished, or came twice: what happened to it here? Newest first.
-- renumbered: a message has another UID; "clients may have it twice" is what he saw. expunged: some client deleted it, here or elsewhere
-- (sql/inspect/uid.sql tells more of one message). late: it has arrived and is about to be shown.
--   psql -v user=alice -f sql/inspect/user.sql dbmail
--   psql -v user=alice -v mailbox=INBOX -v days=30 -v rows=500 -f sql/inspect/user.sql dbmail
-- days: how far back [7]. rows: the most rows [50].
\if :{?user}
\else
\set user ''
\echo 'Whose? psql -v user=alice -f sql/inspect/user.sql dbmail'
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

select date_trunc('second', e.at) as at, e.mailbox, e.event, e.uid, e.became, e.detail
from dbmail_mesh.mail_events(:'user', now() - :'days'::double precision * interval '1 day') e
where :'mailbox' = '' or lower(e.mailbox) = lower(:'mailbox')
order by e.at desc, e.uid desc
limit :'rows'::bigint;
