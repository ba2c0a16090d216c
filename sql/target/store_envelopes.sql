-- $1 physmessage, $2 envelope.
insert into public.dbmail_envelope (physmessage_id, envelope)
select i.physmessage_id, i.envelope
from unnest($1::bigint[], $2::text[]) i(physmessage_id, envelope)
