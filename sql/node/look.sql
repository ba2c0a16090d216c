-- What a worker that is active for this node wants to know of it each second, in one statement: the schema's version and what a program has
-- to know (as schema.sql); whether anything became visible in the outbox since a snapshot that it gives; what is paused; whose rows that
-- were set aside are due, and whether there are any; and whether there is anything to do for housekeeping, for readers who came from
-- another node, and for settlements. $1 a snapshot of this node, or null.
select m.version, m.needs, pg_current_snapshot()::text as snapshot,
       coalesce(n.left_at is null
                and pg_snapshot_xmax($1::text::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot())
                and (greatest(n.trimmed, n.cut) >= pg_snapshot_xmin($1::text::pg_snapshot)) is not true
                and not exists (select from dbmail_mesh.outbox o
                                where o.txid >= pg_snapshot_xmin($1::text::pg_snapshot)
                                  and not pg_visible_in_snapshot(o.txid, $1::text::pg_snapshot)), false) as is_quiet,
       array(select p.source_id from dbmail_mesh.pause p) as paused,
       array(select distinct a.source_id from dbmail_mesh.set_aside a where a.next_try <= clock_timestamp()) as due,
       exists (select from dbmail_mesh.set_aside) as has_aside,
       exists (select from dbmail_mesh.overtaking) or exists (select from dbmail_mesh.doomed(1)) as has_housework,
       exists (select from dbmail_mesh.moved_readers(1)) as has_moved_readers,
       exists (select from dbmail_mesh.late) as has_late
from dbmail_mesh.local_node n
cross join (select coalesce(max(m.version), 0) as version, coalesce(max(coalesce(m.needs, m.version)), 0) as needs
            from dbmail_mesh.migration m) m
