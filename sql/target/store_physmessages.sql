-- $1 origin nodes, $2 origin ids, $3 messagesize, $4 rfcsize, $5 internal_date.
select s.origin_node, s.origin_id, s.physmessage_id
from dbmail_mesh.store_physmessages($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[]) s
