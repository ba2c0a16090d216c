-- Notes how far this node has what third nodes did, now that a source has relayed all that it had of them.
-- $1 what the source had, as sql/source/read_held.sql tells it, $2 the nodes.
insert into dbmail_mesh.heard as r (node_id, incarnation, snapshot)
select h.key::smallint, (h.value ->> 'incarnation')::uuid, (h.value ->> 'surely')::pg_snapshot
from jsonb_each($1::jsonb) h
where h.key::smallint = any ($2::smallint[]) and h.value ->> 'surely' is not null and h.value ->> 'maybe' is not null
  and not (h.value ->> 'has_ended')::boolean
order by 1
on conflict (node_id) do update set incarnation = excluded.incarnation, snapshot = excluded.snapshot, at = clock_timestamp()
where r.incarnation <> excluded.incarnation or not dbmail_mesh.covers(r.snapshot, excluded.snapshot)
