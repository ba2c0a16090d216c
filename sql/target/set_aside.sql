-- What was refused is tried again after 5 s, 10 s, 20 s and so on, an hour at the most; what waits for something else, every minute at the
-- least (see also wake_aside). Nobody is to try a hundred thousand in the same second: a tenth more or less.
-- $1 the source, $2 kinds, $3 keys, $4 whether each waits, $5 SQLSTATEs, $6 reasons.
insert into dbmail_mesh.set_aside as a (source_id, kind, key, waits, sqlstate, reason, next_try)
select $1, i.kind::"char", i.key, i.waits, i.sqlstate, i.reason, clock_timestamp() + interval '5 s'
from unnest($2::text[], $3::bigint[], $4::boolean[], $5::text[], $6::text[]) i(kind, key, waits, sqlstate, reason)
order by i.kind, i.key
on conflict on constraint set_aside_pkey do update
set waits = excluded.waits, sqlstate = excluded.sqlstate, reason = excluded.reason, last_tried = clock_timestamp(), tries = a.tries + 1,
    next_try = clock_timestamp() + least(interval '5 s' * power(2, least(a.tries, 10)),
                                         case when excluded.waits then interval '1 min' else interval '1 h' end) * (0.9 + 0.2 * random())
