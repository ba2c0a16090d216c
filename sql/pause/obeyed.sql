-- Which links into this node stand still for a pause, how many messages are late here, and whether a worker drives these links.
-- $1 the pause.
select coalesce((select array_agg(s.source_id) from dbmail_mesh.link_status s
                 where s.state = 'paused' and $1::text::uuid = any (s.obeys)), '{}') as obeying,
       (select count(*) from dbmail_mesh.late_messages) as late,
       exists (select from pg_locks l
               where l.locktype = 'advisory' and l.database = (select d.oid from pg_database d where d.datname = current_database())
                 and l.classid = 1684169070 and l.objid = 0 and l.objsubid = 2 and l.granted) as is_driven
