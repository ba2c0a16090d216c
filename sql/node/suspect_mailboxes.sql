-- Mailboxes that were created here and that no peer has acknowledged, as far as this node knows. $1 as in suspects.sql.
select m.mailbox_idnr, r.name_stamp
from dbmail_mesh.local_node n
join public.dbmail_mailboxes m on mod(m.mailbox_idnr - n.node_id, n.stride) = 0
join dbmail_mesh.mailbox_register r on r.mailbox_idnr = m.mailbox_idnr and r.name_stamp > 0 and not r.renamed
where exists (select from dbmail_mesh.outbox o
              where o.kind = 'b' and o.key = m.mailbox_idnr and o.origin is null
                and ($1::boolean or not exists (select from dbmail_mesh.acknowledged a where pg_visible_in_snapshot(o.txid, a.snapshot))))
order by m.mailbox_idnr
