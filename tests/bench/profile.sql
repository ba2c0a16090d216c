-- The statements that took the most time. What runs within a function counts towards the statement that called it, too.
select s.total_exec_time + s.total_plan_time, s.calls, s.mean_exec_time, s.shared_blks_hit, s.wal_bytes::float8 / 1e6, s.toplevel,
       left(regexp_replace(regexp_replace(s.query, '--[^\n]*\n', '', 'g'), '\s+', ' ', 'g'), 150)
from pg_stat_statements s
where s.dbid = (select oid from pg_database where datname = current_database())
order by 1 desc
limit 40
