-- To whom an install has to give rights on what is new: whoever has such rights, and on a node where nobody has any yet, whom the settings
-- name. Nobody, unless this role owns what was installed. $1 whom the settings name as the worker, $2 what a reader is called.
select r.rolname::text as role, coalesce(bool_or(k.works), false) as works
from pg_namespace n
cross join lateral (
  select a.grantee, true as works
  from pg_proc p cross join aclexplode(p.proacl) a
  where p.pronamespace = n.oid and p.proname = 'write_plan'
  union all
  select a.grantee, false
  from pg_class c cross join aclexplode(c.relacl) a
  where c.relnamespace = n.oid and c.relname = 'local_node' and a.privilege_type = 'SELECT'
  union all
  select i.oid, i.rolname = $1::text
  from pg_roles i
  where i.rolname in ($1::text, $2::text)
) k
join pg_roles r on r.oid = k.grantee
where n.nspname = 'dbmail_mesh' and pg_has_role(n.nspowner, 'usage') and not pg_has_role(r.oid, n.nspowner, 'member')
group by r.rolname
order by r.rolname
