-- What became of a UID? All that this node knows of the message that has, or ever had, it, in the order of time.
-- A UID is one message in the whole mesh, so neither user nor mailbox is needed. The last line says what is so now; a message that was
-- renumbered where clients had seen it is what a user calls "twice", one that was expunged "gone". Ask the other nodes, too: each tells
-- when it applied something, and only the earliest "expunged" is where that happened.
--   psql -v uid=1234 -f sql/inspect/uid.sql dbmail
\if :{?uid}
\else
\set uid 0
\echo 'Which one? psql -v uid=1234 -f sql/inspect/uid.sql dbmail'
\endif

select date_trunc('milliseconds', h.at) as at, h.event, h.uid, h.node, h.detail
from dbmail_mesh.history(:'uid'::bigint) h;
