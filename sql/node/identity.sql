-- Who this node is, and what it holds. handed_out: whether it has given out any UID since it was installed.
select n.node_id, n.node_name, n.stride, n.incarnation::text as incarnation, n.mesh_id::text as mesh_id, n.adopted_uid, n.uid_floor,
       s.is_called and s.last_value > n.uid_floor as handed_out, n.system_identifier <> c.system_identifier as moved,
       exists (select from public.dbmail_messageblks) as has_old_blocks,
       n.left_at is not null as stays_out, n.left_why,
       array(select f.incarnation::text from dbmail_mesh.former_incarnation f order by f.ended_at) as former
from dbmail_mesh.local_node n
cross join public.dbmail_message_idnr_seq s
cross join pg_control_system() c
