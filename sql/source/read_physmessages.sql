-- $1 dbmail_physmessage.id. Dates travel as text, so that no value of PostgreSQL's is lost on the way.
select p.id, p.messagesize, p.rfcsize, p.internal_date::text as internal_date
from public.dbmail_physmessage p
where p.id = any ($1::bigint[])
order by p.id
