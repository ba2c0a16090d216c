-- $1 node id, $2 its name, $3 its incarnation.
insert into dbmail_mesh.peer as p (node_id, node_name, incarnation) values ($1, $2, $3::text::uuid)
on conflict (node_id) do update set node_name = excluded.node_name where p.incarnation = excluded.incarnation and p.left_at is null
returning p.node_id
