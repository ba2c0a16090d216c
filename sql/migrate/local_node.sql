-- Who this database was installed as.
select node_id, node_name, stride from dbmail_mesh.local_node
