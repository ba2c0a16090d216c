-- Whether contents are known here by a node's number. $1 the node.
select exists (select from dbmail_mesh.content c where c.origin_node = $1) as has_some
