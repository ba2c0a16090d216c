-- A look without locks: the high line of a mailbox (null when the node does not have the mailbox), the mesh that the node belongs to,
-- what it can see of itself now, and how far its links are: of each source, what of it is surely here (null during a first copy), and
-- how many messages it has brought; and whether it takes part in settlements. $1 mailbox_idnr.
select n.mesh_id::text as mesh_id,
       (select greatest(l.high, (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = l.mailbox_idnr))
        from dbmail_mesh.line l join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
        where l.mailbox_idnr = $1
          and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = l.mailbox_idnr)) as high,
       pg_current_snapshot()::text as snapshot,
       k.sources, k.here, k.brought, dbmail_mesh.takes_part() as takes_part
from dbmail_mesh.local_node n
cross join (select coalesce(array_agg(c.source_id), '{}') as sources,
                   coalesce(array_agg(case when c.copy_stage is null then c.from_snapshot::text end), '{}') as here,
                   coalesce(array_agg(c.messages), '{}') as brought
            from dbmail_mesh.cursor c) k
