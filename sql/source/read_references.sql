-- $1 dbmail_physmessage.id.
select r.physmessage_id, r.referencesfield as content
from public.dbmail_referencesfield r
where r.physmessage_id = any ($1::bigint[])
order by r.physmessage_id, r.id
