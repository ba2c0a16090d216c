-- A look without locks: the high line of a mailbox (null when the node does not have the mailbox), and the mesh that the node
-- belongs to. $1 mailbox_idnr.
select n.mesh_id::text as mesh_id,
       (select greatest(l.high, (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = l.mailbox_idnr))
        from dbmail_mesh.line l join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
        where l.mailbox_idnr = $1
          and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = l.mailbox_idnr)) as high
from dbmail_mesh.local_node n
