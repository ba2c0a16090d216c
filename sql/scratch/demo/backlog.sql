-- What a target whose position is the snapshot $1 has not taken over yet: messages, and the age of the oldest in seconds.
select count(*) as messages, coalesce(extract(epoch from clock_timestamp() - min(o.at)), 0)::double precision as seconds
from dbmail_mesh.outbox o
where o.kind = 'm'
  and o.txid >= pg_snapshot_xmin($1::text::pg_snapshot)
  and not pg_visible_in_snapshot(o.txid, $1::text::pg_snapshot)
