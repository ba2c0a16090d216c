-- Where the content of mail from before the install is. $1 the highest UID, $2 the last one done, $3 the most rows.
select g.message_idnr, g.physmessage_id
from public.dbmail_messages g
where g.message_idnr <= $1 and g.message_idnr > $2 and g.status < 2
order by g.message_idnr
limit $3
