-- $1 the entries: an array of objects with kind and key.
select v.place, v.key, v.merged, v.public, v.is_dead, v.lacks, v.stamp, v.present, v.value
from dbmail_mesh.view_entries($1::jsonb) v
