-- What is this node doing? Who it is, its mesh and links, what waits, how far numbers are used up. Begin here.
-- Cheap but for the outbox, which is read once a peer from what that has not acknowledged on; counts of large tables are PostgreSQL's
-- estimates. Asked of one node, it tells what this one knows: "dbmail-mesh status" asks all.
--   psql -f sql/inspect/overview.sql dbmail

\echo 'Node'
select n.node_name as node, n.node_id as id, n.stride, (select max(m.version) from dbmail_mesh.migration m) as schema,
       coalesce(n.mesh_id::text, 'no mesh yet') as mesh, coalesce(n.presence::text, 'always') as presence,
       case when p.since is not null then 'paused' when n.mesh_id is null then 'not admitted' else 'member' end as state
from dbmail_mesh.local_node n
left join dbmail_mesh.pause p on p.source_id = 0;

\echo 'Links'
select l.direction as dir, l.peer, l.state, l.messages, l.seconds, l.remark from dbmail_mesh.lag l order by l.direction, l.peer_id;

\echo 'Waiting'
select w.what, w.where_ as "where", w.rows, date_trunc('second', clock_timestamp() - w.since) as for, w.why
from dbmail_mesh.waiting w order by w.since nulls last limit 20;

\echo 'Numbers'
select u.space, u.highest, u.used_percent as "used %", u.per_day, u.ends_on from dbmail_mesh.number_use u;

\echo 'Tables'
select c.relname as table, case when c.reltuples < 0 then 'not analyzed yet' else '~ ' || c.reltuples::bigint end as rows,
       pg_size_pretty(pg_total_relation_size(c.oid)) as size
from pg_class c
where c.relnamespace = 'dbmail_mesh'::regnamespace and c.relkind = 'r'
  and c.relname in ('renumber_log', 'number', 'tombstone', 'outbox', 'late', 'reservation', 'content')
order by c.relname;
