-- Undoes 0029, and takes from workers and readers what they may do with dbmail's tables: those stay, unlike the schema.

set local lock_timeout = '250ms';

do $$
declare
  given record;
begin
  for given in
    select c.oid::regclass as relation, r.rolname
    from (select a.grantee
          from pg_proc p cross join aclexplode(p.proacl) a
          where p.oid = 'dbmail_mesh.write_plan'::regproc and a.grantee <> p.proowner
          union
          select a.grantee
          from pg_class l cross join aclexplode(l.relacl) a
          where l.oid = 'dbmail_mesh.local_node'::regclass and a.privilege_type = 'SELECT' and a.grantee <> l.relowner) k
    join pg_roles r on r.oid = k.grantee
    join pg_class c on c.relnamespace = 'public'::regnamespace and c.relname like 'dbmail\_%' and c.relkind in ('r', 'p', 'S')
      and not pg_has_role(r.oid, c.relowner, 'member')
  loop
    execute format('revoke all on %s from %I', given.relation, given.rolname);
  end loop;
end
$$;

drop function dbmail_mesh.refresh_statistics();

delete from dbmail_mesh.migration where version = 29;
