-- Which links into this node stand still for a pause, how many messages are late here, and whether a worker drives these links.
-- $1 the pause.
select coalesce((select array_agg(s.source_id) from dbmail_mesh.link_status s
                 where s.state = 'paused' and $1::text::uuid = any (s.obeys)), '{}') as obeying,
       (select count(*) from dbmail_mesh.late_messages) as late,
       (select w.is_active from dbmail_mesh.active_worker w) as is_driven
