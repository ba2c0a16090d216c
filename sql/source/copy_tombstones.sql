-- First copy: the next messages that are dead.
-- $1 the last key that is done, $2 the most rows.
select t.birth_uid as key
from dbmail_mesh.tombstone t
where t.birth_uid > $1
order by t.birth_uid
limit $2
