-- The messages of a mailbox that are late here, with the seconds that they have waited, in the order of their UIDs.
-- $1 mailbox_idnr, $2 seconds, $3 the most rows.
select l.birth_uid, extract(epoch from clock_timestamp() - l.first_seen)::double precision as waited
from dbmail_mesh.late l
where l.mailbox_idnr = $1 and l.first_seen < clock_timestamp() - make_interval(secs => $2::double precision)
order by l.uid
limit $3
