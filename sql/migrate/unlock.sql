-- The next runner may come at once, and need not wait until the server has noticed that this session is gone.
select pg_advisory_unlock($1)
