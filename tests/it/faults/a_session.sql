-- The server process of a session of the worker's, or where it has none of any other but this one.
select pid from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid()
order by application_name like 'dbmail-mesh %' desc, random() limit 1
