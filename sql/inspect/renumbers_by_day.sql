-- How many messages were renumbered on this node, day by day? A day with many is one on which nodes were apart, or behind.
-- seen: clients of this node could have seen the old UID. The names of nodes say who decided how many.
--   psql -f sql/inspect/renumbers_by_day.sql dbmail
--   psql -v days=90 -f sql/inspect/renumbers_by_day.sql dbmail
-- days: how far back [7]. Reads the log from that day on: about two seconds a million rows.
\if :{?days}
\else
\set days 7
\endif

select d.day, sum(d.renumbers) as renumbers, sum(d.seen) as seen, sum(d.mailboxes) as mailboxes,
       string_agg(coalesce(m.name, 'node ' || d.decided_by) || ' ' || d.renumbers, ', ' order by d.decided_by) as decided_on
from (select r.applied_at::date as day, r.decided_by, count(*) as renumbers, count(*) filter (where r.was_visible) as seen,
             count(distinct r.mailbox_idnr) as mailboxes
      from dbmail_mesh.renumber_log r
      where r.applied_at >= now() - :'days'::double precision * interval '1 day'
      group by 1, 2) d
left join dbmail_mesh.members m on m.node_id = d.decided_by
group by d.day
order by d.day desc;
