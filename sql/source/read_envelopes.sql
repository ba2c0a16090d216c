-- $1 dbmail_physmessage.id.
select e.physmessage_id, e.envelope as content
from public.dbmail_envelope e
where e.physmessage_id = any ($1::bigint[])
order by e.physmessage_id
