-- What the server says of itself and of the role that asks.
select current_setting('server_version_num')::integer as version,
       pg_is_in_recovery() as standby,
       current_database()::text as database,
       current_user::text as role,
       has_schema_privilege('public', 'usage') as may_use_public,
       coalesce((select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = 'dbmail_mesh'),
                has_database_privilege(current_database(), 'create')) as may_create_schema,
       (select pg_get_userbyid(nspowner)::text from pg_namespace where nspname = 'dbmail_mesh') as schema_owner
