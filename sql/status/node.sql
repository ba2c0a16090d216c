-- What a node knows of itself, and what changes from second to second. Cheap, however much mail there is.
-- A node that stays out of the mesh belongs to none: out_reason says why. dismissed: peers that are out by what this node knows.
-- began_at: when it was installed, or joined anew; came_with_mail: with mail that was there before, and never joined anew.
select clock_timestamp() as asked_at, n.node_id as installed_id, n.stride as installed_stride,
       case when n.left_at is null then n.mesh_id::text end as mesh_id,
       case when n.left_at is not null then coalesce(n.left_why, 'it was taken out') end as out_reason,
       (select coalesce(array_agg(p.node_id), '{}') from dbmail_mesh.peer p where p.left_at is not null) as dismissed,
       greatest(n.installed_at, f.ended_at) as began_at, n.adopted_uid > 0 and f.ended_at is null as came_with_mail,
       l.late_messages, l.late_longest_seconds,
       s.set_aside_rows, s.set_aside_oldest_seconds,
       (select count(*) from dbmail_mesh.moved_reader r
        join dbmail_mesh.link_status s on s.source_id = r.node_id and dbmail_mesh.is_gone(s.state) and s.since = r.lost_at
        where not r.complete) as readers_waiting,
       w.is_active as worker_active, case when w.is_active then w.since end as worker_since,
       case when w.is_active then w.held_by end as worker_name, w.term as worker_term
from dbmail_mesh.local_node n
cross join (select max(i.ended_at) as ended_at from dbmail_mesh.former_incarnation i) f
cross join (
  select count(*) as late_messages,
         coalesce(greatest(extract(epoch from clock_timestamp() - min(first_seen)), 0), 0)::double precision as late_longest_seconds
  from dbmail_mesh.late_messages
) l
cross join (
  select count(*) as set_aside_rows,
         coalesce(greatest(extract(epoch from clock_timestamp() - min(a.first_seen)), 0), 0)::double precision as set_aside_oldest_seconds
  from dbmail_mesh.set_aside a
) s
cross join dbmail_mesh.active_worker w
