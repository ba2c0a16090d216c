-- $1 kinds, $2 keys.
select e.kind, e.key::text as key, e.stamp, e.present
from unnest($1::text[], $2::text[]) i(kind, key)
join dbmail_mesh.entry e on e.kind = i.kind and e.key = i.key::jsonb
