-- What a node knows of itself. Cheap, however much mail there is: dbmail's tables are asked for their highest keys only, and
-- what is counted are rows of our own, one a conflict or one a change that is under way.
-- renumbers_last_hour walks back from the newest row, for there is no index by time alone; it ends at 100000.
select clock_timestamp() as asked_at, n.node_id as installed_id, n.stride as installed_stride, n.mesh_id::text as mesh_id,
       l.late_messages, l.late_longest_seconds,
       (select count(*) from dbmail_mesh.renumber_log) as renumbers_total,
       (select count(*) from (select r.applied_at from dbmail_mesh.renumber_log r order by r.id desc limit 100000) r
        where r.applied_at > statement_timestamp() - interval '1 hour') as renumbers_last_hour,
       (select count(*) from dbmail_mesh.outbox) as outbox_rows,
       (select count(*) from dbmail_mesh.set_aside) as set_aside_rows,
       (select count(*) from dbmail_mesh.kept_messages) as kept_messages,
       (select count(*) from dbmail_mesh.reservation) as numbers_reserved,
       u.uid as uid_highest, u.physmessage_id as physmessage_id_highest, u.mailbox_idnr as mailbox_id_highest,
       (select a.atthasdef from pg_attribute a
        where a.attrelid = 'public.dbmail_messages'::regclass and a.attname = 'message_idnr') as uid_has_default
from dbmail_mesh.local_node n
cross join dbmail_mesh.numbers_in_use() u
cross join (
  select count(*) as late_messages,
         coalesce(greatest(extract(epoch from clock_timestamp() - min(first_seen)), 0), 0)::double precision as late_longest_seconds
  from dbmail_mesh.late_messages
) l
