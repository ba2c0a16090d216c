drop publication if exists dbmail;
-- All of dbmail's tables, and nothing else. What has no primary key is known by all of its columns.
do $$
declare
  name text;
begin
  for name in select c.relname from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname like 'dbmail\_%'
      and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
  loop
    execute format('alter table public.%I replica identity full', name);
  end loop;
  select string_agg(format('public.%I', c.relname), ', ') into name from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname like 'dbmail\_%';
  execute 'create publication dbmail for table ' || name;
end
$$;
