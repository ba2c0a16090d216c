-- In a transaction of its own: a name is shared by everybody, and a lock on a new one must not be held for long.
-- $1 names.
insert into public.dbmail_headername (headername)
select distinct on (lower(i.name)) i.name
from unnest($1::text[]) i(name)
where not exists (select from public.dbmail_headername n where lower(n.headername) = lower(i.name))
order by lower(i.name)
on conflict do nothing
