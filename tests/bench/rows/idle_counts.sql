-- Statements that a role has sent to each of some databases, what begins and ends transactions included, and all transactions there.
-- $1 the role, $2 the databases.
select coalesce((select sum(s.calls)::double precision from pg_stat_statements s
                 where s.dbid = d.oid and s.userid = (select r.oid from pg_roles r where r.rolname = $1::text)), 0) as statements,
       (t.xact_commit + t.xact_rollback)::double precision as transactions
from pg_database d
join pg_stat_database t on t.datid = d.oid
where d.datname = any ($2::text[])
order by d.datname
