-- The third nodes of which this node may lack what a source has; the transaction of each below which this node has everything (null:
-- none); whether it cannot come from the node itself, because that has left or is another one now; whether its link is paused.
-- $1 what the source has, as sql/source/read_held.sql tells it.
select h.key::smallint as node_id,
       case when not t.has_ended
         then greatest(pg_snapshot_xmin(c.from_snapshot), pg_snapshot_xmin(r.snapshot))::text end as has_below,
       t.has_ended, coalesce(s.state = 'paused', false) as is_paused
from jsonb_each($1::jsonb) h
cross join lateral (select (h.value ->> 'incarnation')::uuid as incarnation, (h.value ->> 'maybe')::pg_snapshot as maybe,
                           (h.value ->> 'has_ended')::boolean as has_ended) t
left join dbmail_mesh.peer p on p.node_id = h.key::smallint and p.incarnation = t.incarnation
left join dbmail_mesh.cursor c on c.source_id = p.node_id and c.copy_stage is null
left join dbmail_mesh.heard r on r.node_id = h.key::smallint and r.incarnation = t.incarnation
left join dbmail_mesh.link_status s on s.source_id = h.key::smallint
where t.has_ended
   or not (coalesce(dbmail_mesh.covers(c.from_snapshot, t.maybe), false) or coalesce(dbmail_mesh.covers(r.snapshot, t.maybe), false))
order by 1
