-- What accounts and entries are called that a target has set aside. $1 kinds, $2 keys of this node, as in the outbox.
select i.kind, i.key as id, coalesce(e.kind, 'user') as thing, coalesce(e.key::text, a.account) as key
from unnest($1::text[], $2::bigint[]) i(kind, key)
left join dbmail_mesh.account a on i.kind = 'u' and a.id = i.key
left join dbmail_mesh.entry e on i.kind = 'e' and e.id = i.key
where a.id is not null or e.id is not null
