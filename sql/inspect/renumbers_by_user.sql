-- Whose mail was renumbered on this node? Those with the most first.
-- seen: clients of this node could have seen the old UID: what users notice.
--   psql -f sql/inspect/renumbers_by_user.sql dbmail
--   psql -v days=90 -v rows=100 -f sql/inspect/renumbers_by_user.sql dbmail
-- days: how far back [7]. rows: the most rows [50]. Reads the log from that day on: about a second a million rows.
\if :{?days}
\else
\set days 7
\endif
\if :{?rows}
\else
\set rows 50
\endif

select u.userid as owner, sum(d.renumbers) as renumbers, sum(d.seen) as seen, count(*) as mailboxes, date_trunc('second', max(d.last_at)) as last
from (select r.mailbox_idnr, count(*) as renumbers, count(*) filter (where r.was_visible) as seen, max(r.applied_at) as last_at
      from dbmail_mesh.renumber_log r
      where r.applied_at >= now() - :'days'::double precision * interval '1 day'
      group by r.mailbox_idnr) d
left join dbmail_mesh.line l on l.mailbox_idnr = d.mailbox_idnr
left join public.dbmail_mailboxes m on m.mailbox_idnr = d.mailbox_idnr
left join public.dbmail_users u on u.user_idnr = coalesce(m.owner_idnr, l.owner_idnr)
group by u.userid
order by 2 desc, 1
limit :'rows'::bigint;
