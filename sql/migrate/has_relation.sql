-- Whether dbmail_mesh has a relation of this name. Asks the catalog, for which no right on the schema is needed.
select exists (
  select from pg_class join pg_namespace on pg_namespace.oid = relnamespace
  where nspname = 'dbmail_mesh' and relname = $1
) as found
