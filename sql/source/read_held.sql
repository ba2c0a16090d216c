-- What this node has: a snapshot of its own, and how far it has taken over what third nodes have, so that a target can tell whether it
-- has all that, too. Of a third node: what it surely has, null where it has set something aside; what it may have while it works through
-- a range, null while it copies; whether an incarnation of it ended since $1: then neither tells what came before that. What was cut off
-- since $1 cannot be relayed any more.
-- $1 the snapshot up to which the target has everything, null if it does not know; $2 the target.
select pg_current_snapshot()::text as snapshot,
       coalesce((select jsonb_object_agg(p.node_id, jsonb_build_object(
                          'incarnation', p.incarnation,
                          'surely', case when not exists (select from dbmail_mesh.set_aside a where a.source_id = p.node_id)
                            then c.from_snapshot::text end,
                          'maybe', case when c.copy_stage is null then coalesce(c.to_snapshot, c.from_snapshot)::text end,
                          'has_ended', e.has_ended))
                 from dbmail_mesh.peer p
                 left join dbmail_mesh.cursor c on c.source_id = p.node_id
                 cross join lateral (select p.ended_in is not null
                                            and not coalesce(pg_visible_in_snapshot(p.ended_in, $1::text::pg_snapshot), false)) e(has_ended)
                 where p.node_id <> $2 and (c.source_id is not null or e.has_ended)), '{}'::jsonb) as held,
       coalesce(n.cut >= pg_snapshot_xmin($1::text::pg_snapshot), false) as is_cut,
       exists (select from dbmail_mesh.outbox o
               where o.origin <> $2
                 and ($1::text is null
                      or o.txid >= pg_snapshot_xmin($1::text::pg_snapshot)
                         and not pg_visible_in_snapshot(o.txid, $1::text::pg_snapshot))) as has_some
from dbmail_mesh.local_node n
