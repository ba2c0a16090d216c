-- $1 origin nodes, $2 origin ids.
select f.origin_node, f.origin_id, f.physmessage_id
from dbmail_mesh.find_content($1::smallint[], $2::bigint[]) f
