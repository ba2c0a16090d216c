-- Each value is looked up by its key, whatever the statistics say: a plan that was made for a small node reads the table from end to end.
-- $1 dbmail_physmessage.id.
select h.physmessage_id, h.headername_id, h.headervalue_id, n.headername, v.hash, v.headervalue, v.sortfield, v.datefield::text as datefield
from public.dbmail_header h
join public.dbmail_headername n on n.id = h.headername_id
cross join lateral (select v.* from public.dbmail_headervalue v where v.id = h.headervalue_id offset 0) v
where h.physmessage_id = any ($1::bigint[])
order by h.physmessage_id, h.headername_id, h.headervalue_id
