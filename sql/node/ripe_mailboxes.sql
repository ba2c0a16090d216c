-- Mailboxes with messages that have been late here for long enough, the longest waiting first. None while the node is paused.
-- $1 seconds, $2 the most rows.
select l.mailbox_idnr
from dbmail_mesh.late l
join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
where not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = l.mailbox_idnr)
  and dbmail_mesh.takes_part() and l.first_seen < clock_timestamp() - make_interval(secs => $1::double precision)
group by l.mailbox_idnr
order by min(l.first_seen)
limit $2
