-- How long do UIDs last? How far this node's numbers are used up, at what rate, and when they end; then how that went, day by day.
-- UIDs and mailbox ids belong to the whole mesh: the node that is furthest counts, and a UID costs a step of the stride.
-- "dbmail-mesh plan" asks all nodes and tells more. Cheap.
--   psql -f sql/inspect/numbers.sql dbmail
--   psql -v days=30 -f sql/inspect/numbers.sql dbmail
-- days: how far back [7].
\if :{?days}
\else
\set days 7
\endif

\echo 'Now'
select u.space, u.highest, u.last, u.used_percent as "used %", u.per_day, u.over_days, u.ends_on from dbmail_mesh.number_use u;

\echo 'Used up'
select d.day, d.uid - lag(d.uid) over w as uids, d.physmessage_id - lag(d.physmessage_id) over w as physmessage_ids,
       d.mailbox_idnr - lag(d.mailbox_idnr) over w as mailbox_ids, d.uid as highest_uid
from (select s.at::date as day, max(s.uid) as uid, max(s.physmessage_id) as physmessage_id, max(s.mailbox_idnr) as mailbox_idnr
      from dbmail_mesh.number_sample s
      where s.at >= now() - :'days'::double precision * interval '1 day' - interval '1 day'
      group by 1) d
window w as (order by d.day)
order by d.day desc;
