-- Ends all sessions of the worker's.
select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'dbmail-mesh %'
