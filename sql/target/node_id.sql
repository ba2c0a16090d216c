-- The number of this node: what it decides by itself carries it.
select n.node_id from dbmail_mesh.local_node n
