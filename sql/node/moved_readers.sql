-- $1 the most rows.
select r.user_idnr, r.born_as, r.generation, r.node_id, r.lost_at
from dbmail_mesh.moved_readers($1) r
