-- That no script is active is a value without a row. $1 kinds, $2 keys.
select e.kind, e.key::text as key, e.stamp, e.present,
       case when e.kind = 'active' and e.present and e.value ->> 'name' is null then e.value::text end as value
from unnest($1::text[], $2::text[]) i(kind, key)
join dbmail_mesh.entry e on e.kind = i.kind and e.key = i.key::jsonb
