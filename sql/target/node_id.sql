select node_id from dbmail_mesh.local_node
