-- How many of this node's changes each target has not applied, and for how long the oldest of them has been waiting: of messages, of
-- everything but HIGHESTMODSEQs, and of these.
-- While a target works through a large range ($3 is not null), the rows up to its position are done, but only those that
-- the range's snapshot sees: what committed later comes with the next range, wherever its place is.
-- Of each target the first 100001 rows are counted, and no more: a backlog of millions costs no more than that.
-- $1 targets; of their cursors: $2 from_snapshot, $3 to_snapshot, $4 last_id.
select i.target_id, w.lag_messages, w.changes_waiting, w.oldest_change_at,
       coalesce(greatest(extract(epoch from clock_timestamp() - w.oldest_message_at), 0), 0)::double precision as lag_seconds,
       coalesce(greatest(extract(epoch from clock_timestamp() - w.oldest_change_at), 0), 0)::double precision as oldest_change_seconds,
       coalesce(greatest(extract(epoch from clock_timestamp() - w.oldest_modseq_at), 0), 0)::double precision as oldest_modseq_seconds
from unnest($1::smallint[], $2::text[]::pg_snapshot[], $3::text[]::pg_snapshot[], $4::bigint[])
  i(target_id, from_snapshot, to_snapshot, last_id)
cross join lateral (
  select count(*) filter (where o.kind = 'm') as lag_messages, min(o.at) filter (where o.kind = 'm') as oldest_message_at,
         count(*) filter (where o.kind <> 's') as changes_waiting, min(o.at) filter (where o.kind <> 's') as oldest_change_at,
         min(o.at) filter (where o.kind = 's') as oldest_modseq_at
  from (select b.kind, b.at
        from dbmail_mesh.outbox b
        where b.origin is null
          and b.txid >= pg_snapshot_xmin(i.from_snapshot)
          and not pg_visible_in_snapshot(b.txid, i.from_snapshot)
          and (i.to_snapshot is null or b.id > i.last_id or not pg_visible_in_snapshot(b.txid, i.to_snapshot))
        order by b.txid
        limit 100001) o
) w
