-- Has the server end this session when it has heard nothing of it for $1 milliseconds. PostgreSQL 13 cannot: there it takes what TCP takes.
select set_config(name, $1, false) as bound from pg_settings where name = 'idle_session_timeout'
