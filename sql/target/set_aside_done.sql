-- $1 the source, $2 kinds, $3 keys.
delete from dbmail_mesh.set_aside a
using unnest($2::text[], $3::bigint[]) i(kind, key)
where a.source_id = $1 and a.kind = i.kind::"char" and a.key = i.key
