-- Rows whose retry failed for a reason that passes, a lock for example: behind all that is due already. Why they were refused stays.
-- $1 the source, $2 kinds, $3 keys.
update dbmail_mesh.set_aside a
set next_try = clock_timestamp() + interval '5 s' * (0.9 + 0.2 * random())
from (select i.kind::"char" as kind, i.key from unnest($2::text[], $3::bigint[]) i(kind, key)) i
where a.source_id = $1 and a.kind = i.kind and a.key = i.key
