-- $1 the node that is gone, $2 nodes that cannot be asked, $3 since when it is gone, $4 born_as, $5 generation.
select u.born_as, u.generation, u.birth_uid, u.at, u.may_have
from dbmail_mesh.unacknowledged($1, $2::smallint[], $3, $4::text[], $5::integer[]) u
