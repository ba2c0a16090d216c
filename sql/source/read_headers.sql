-- $1 dbmail_physmessage.id.
select h.physmessage_id, n.headername, v.hash, v.headervalue, v.sortfield, v.datefield::text as datefield
from public.dbmail_header h
join public.dbmail_headername n on n.id = h.headername_id
join public.dbmail_headervalue v on v.id = h.headervalue_id
where h.physmessage_id = any ($1::bigint[])
order by h.physmessage_id, h.headername_id, h.headervalue_id
