-- $1 physmessage, $2 reference.
insert into public.dbmail_referencesfield (physmessage_id, referencesfield)
select i.physmessage_id, i.referencesfield
from unnest($1::bigint[], $2::text[]) i(physmessage_id, referencesfield)
