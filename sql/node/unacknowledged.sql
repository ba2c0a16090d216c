-- $1 the node that is gone, $2 nodes that cannot be asked, $3 born_as, $4 generation.
select u.born_as, u.generation, u.birth_uid, u.at
from dbmail_mesh.unacknowledged($1, $2::smallint[], $3::text[], $4::integer[]) u
