-- $1 the source, $2 kinds, $3 keys, $4 reasons.
insert into dbmail_mesh.set_aside as a (source_id, kind, key, reason)
select $1, i.kind::"char", i.key, i.reason
from unnest($2::text[], $3::bigint[], $4::text[]) i(kind, key, reason)
on conflict on constraint set_aside_pkey do update set reason = excluded.reason, last_tried = clock_timestamp()
