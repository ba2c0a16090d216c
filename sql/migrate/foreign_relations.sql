-- dbmail's tables and sequences that this role can neither alter nor put a trigger on, by owner.
select pg_get_userbyid(relowner)::text as owner, array_agg(relname::text order by relname) as relations
from pg_class
where relnamespace = 'public'::regnamespace and relname like 'dbmail\_%' and relkind in ('r', 'p', 'S')
  and not pg_has_role(relowner, 'usage')
group by relowner
order by owner
