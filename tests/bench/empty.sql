-- The rows of a fresh installation come again from the publisher.
do $$
declare
  names text;
begin
  select string_agg(format('public.%I', c.relname), ', ') into names from pg_class c
  where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname like 'dbmail\_%';
  execute 'truncate ' || names;
end
$$;
