-- Which nodes decided the new UIDs that were applied on this node? The lowest number that takes part in a settlement does, so another one
-- tells of settlements in which that could not be reached, or was behind.
-- passed: seconds between the decision and its being applied here, by two clocks: the median and the longest.
--   psql -f sql/inspect/renumbers_by_node.sql dbmail
--   psql -v days=90 -f sql/inspect/renumbers_by_node.sql dbmail
-- days: how far back [7]. Reads the log from that day on: about four seconds a million rows.
\if :{?days}
\else
\set days 7
\endif

select coalesce(m.name, 'node ' || r.decided_by) as decided_on, count(*) as renumbers, count(*) filter (where r.was_visible) as seen,
       date_trunc('second', max(r.applied_at)) as last,
       extract(epoch from percentile_disc(0.5) within group (order by r.applied_at - r.decided_at))::numeric(12, 3) as passed,
       extract(epoch from max(r.applied_at - r.decided_at))::numeric(12, 3) as passed_max
from dbmail_mesh.renumber_log r
left join dbmail_mesh.members m on m.node_id = r.decided_by
where r.applied_at >= now() - :'days'::double precision * interval '1 day'
group by r.decided_by, m.name
order by 2 desc;
