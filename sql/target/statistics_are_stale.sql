-- Whether the planner believes in far fewer messages than a link has brought: a new node, before autovacuum has looked at it.
-- $1 messages that the link has brought.
select c.reltuples < $1::bigint / 2 as stale
from pg_class c
where c.oid = 'public.dbmail_messages'::regclass
