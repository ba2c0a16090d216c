-- What a server says of itself and of what goes on there, as one JSON object. Works before the install, and for any role; without
-- pg_read_all_stats it sees little of other roles' sessions. Takes no locks. $1 seconds after which a transaction is long.
select jsonb_build_object(
  'version', current_setting('server_version'),
  'version_number', current_setting('server_version_num')::integer,
  'database', current_database(),
  'role', current_user,
  'encoding', (select pg_encoding_to_char(d.encoding) from pg_database d where d.datname = current_database()),
  'sees_others', pg_has_role('pg_read_all_stats', 'usage'),
  'program', nullif(current_setting('dbmail_mesh.program', true), ''),
  'settings', (
    -- As a session of this role begins: the one that asks has bounds of its own by now.
    select jsonb_object_agg(s.name, s.reset_val) from pg_settings s
    where s.name in ('synchronous_commit', 'fsync', 'full_page_writes', 'autovacuum', 'track_counts', 'max_connections',
                     'superuser_reserved_connections', 'reserved_connections', 'deadlock_timeout', 'lock_timeout', 'statement_timeout',
                     'idle_session_timeout', 'default_transaction_isolation', 'default_transaction_read_only',
                     'session_replication_role')),
  'role_settings', (
    select coalesce(jsonb_agg(jsonb_build_object('role', r.rolname, 'database', d.datname, 'setting', c.setting)
                              order by r.rolname, d.datname, c.setting), '[]')
    from pg_db_role_setting s
    cross join unnest(s.setconfig) c(setting)
    left join pg_roles r on r.oid = s.setrole
    left join pg_database d on d.oid = s.setdatabase
    where s.setdatabase = 0 or d.datname = current_database()),
  'tls', (
    select jsonb_build_object('version', t.version, 'cipher', t.cipher)
    from pg_stat_ssl t where t.pid = pg_backend_pid() and t.ssl),
  'connections_of_others', (
    select count(*) from pg_stat_activity a
    where a.backend_type = 'client backend' and a.application_name not like 'dbmail-mesh%'),
  'transactions', (
    select coalesce(jsonb_agg(jsonb_build_object('pid', a.pid, 'role', a.usename, 'application', a.application_name, 'database', a.datname,
                                                 'state', a.state, 'seconds', extract(epoch from clock_timestamp() - a.xact_start))
                              order by a.xact_start), '[]')
    from pg_stat_activity a
    where a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
      and a.xact_start < clock_timestamp() - make_interval(secs => $1)),
  'prepared', (
    select coalesce(jsonb_agg(jsonb_build_object('name', p.gid, 'database', p.database,
                                                 'seconds', extract(epoch from clock_timestamp() - p.prepared)) order by p.prepared), '[]')
    from pg_prepared_xacts p),
  'slots', (
    select coalesce(jsonb_agg(jsonb_build_object('name', s.slot_name, 'active', s.active, 'xid_age', x.age) order by s.slot_name), '[]')
    from pg_replication_slots s
    cross join lateral (select greatest(age(s.xmin), age(s.catalog_xmin)) as age) x
    where x.age is not null),
  'xid_age', (select age(d.datfrozenxid) from pg_database d where d.datname = current_database()),
  'without_autovacuum', (
    select coalesce(jsonb_agg(c.oid::regclass::text order by c.relname), '[]')
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    cross join unnest(c.reloptions) o(option)
    where c.relkind = 'r' and (n.nspname = 'dbmail_mesh' or n.nspname = 'public' and c.relname like 'dbmail\_%')
      and lower(o.option) in ('autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0', 'autovacuum_enabled=no'))
) as facts
