-- Which mailboxes of one name were merged or renamed, which mail of deleted users is kept, who came from a node that was gone? Newest first.
-- merged: its messages are in the other, under a new UIDVALIDITY, and clients download it anew. displaced: it has another name.
-- Kept mail: dbmail_mesh.deliver_kept(birth_uid, mailbox_idnr) gives it to somebody, dbmail_mesh.drop_kept(birth_uid) drops it.
--   psql -f sql/inspect/conflicts.sql dbmail
--   psql -v days=90 -f sql/inspect/conflicts.sql dbmail
-- days: how far back [7]. rows: the most rows of each [50].
\if :{?days}
\else
\set days 7
\endif
\if :{?rows}
\else
\set rows 50
\endif

\echo 'Mailboxes'
select date_trunc('second', c.seen_at) as at, c.what, c.owner, c.name, c.mailbox_idnr as id, c.new_name, c.other_idnr as other,
       c.other_is_now, c.decided_on
from dbmail_mesh.mailbox_conflicts c
where c.seen_at >= now() - :'days'::double precision * interval '1 day'
order by c.seen_at desc
limit :'rows'::bigint;

\echo 'Kept mail'
select date_trunc('second', k.first_seen) as since, k.userid, k.messagesize as bytes, k.sender, k.subject, k.birth_uid
from dbmail_mesh.kept_messages k
where k.first_seen >= now() - :'days'::double precision * interval '1 day'
order by k.first_seen desc
limit :'rows'::bigint;

\echo 'Readers from a lost node'
select date_trunc('second', v.looked_at) as at, u.userid, p.node_name as lost, date_trunc('second', v.lost_at) as lost_at, v.messages, v.complete
from dbmail_mesh.moved_reader v
left join public.dbmail_users u on u.user_idnr = v.user_idnr
left join dbmail_mesh.peer p on p.node_id = v.node_id
where v.looked_at >= now() - :'days'::double precision * interval '1 day'
order by v.looked_at desc
limit :'rows'::bigint;
