-- What this role is and may do on an installed node, as one JSON object. Asks the catalog, for which no right is needed.
-- lacks: positions, from 0, in what the worker needs. What is not there at all is not lacking.
-- $1, $2 what the worker needs: names with their schema, and verbs.
select jsonb_build_object(
  'superuser', (select r.rolsuper from pg_roles r where r.rolname = current_user),
  'owners', (
    select coalesce(jsonb_agg(distinct o.rolname), '[]')
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles o on o.oid = c.relowner
    where c.relkind in ('r', 'p', 'S') and (n.nspname = 'dbmail_mesh' or n.nspname = 'public' and c.relname like 'dbmail\_%')
      and pg_has_role(o.oid, 'member')),
  'may_look', coalesce((
    select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'dbmail_mesh' and c.relname = 'local_node'), false),
  'lacks', (
    select coalesce(jsonb_agg(i.place - 1 order by i.place), '[]')
    from unnest($1::text[], $2::text[]) with ordinality i(name, verb, place)
    where case
      when i.name not like '%.%' then (select has_schema_privilege(n.oid, i.verb) from pg_namespace n where n.nspname = i.name)
      when i.verb = 'execute' then (
        select bool_and(has_function_privilege(p.oid, i.verb))
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = split_part(i.name, '.', 1) and p.proname = split_part(i.name, '.', 2))
      else (
        select case when c.relkind = 'S' then has_sequence_privilege(c.oid, i.verb) else has_table_privilege(c.oid, i.verb) end
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = split_part(i.name, '.', 1) and c.relname = split_part(i.name, '.', 2)) end is false)
) as facts
