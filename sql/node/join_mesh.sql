-- $1 the mesh.
update dbmail_mesh.local_node set mesh_id = $1::text::uuid where mesh_id is null or mesh_id = $1::text::uuid
