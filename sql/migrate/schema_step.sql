-- The step of dbmail's own schema.
select max(to_version)::bigint as step from public.dbmail_upgrade_steps
