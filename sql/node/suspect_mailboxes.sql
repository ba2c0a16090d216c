-- Mailboxes that were created or changed here, and that not all members have acknowledged, as far as this node knows; those that have ended
-- by now too. $1 as in suspects.sql.
select i.id as mailbox_idnr, coalesce(r.name_stamp, 0) as name_stamp, coalesce(r.renamed, false) as renamed,
       m.mailbox_idnr is null as has_ended, dbmail_mesh.account_of(m.owner_idnr) as owner
from (select distinct o.key as id
      from dbmail_mesh.outbox o
      where o.kind = 'b' and o.origin is null
        and ($1::boolean
             or exists (select from dbmail_mesh.peer p left join dbmail_mesh.acknowledged a on a.target_id = p.node_id
                        where p.left_at is null and (a.target_id is null or not pg_visible_in_snapshot(o.txid, a.snapshot))))) i
join dbmail_mesh.local_node n on mod(i.id - n.node_id, n.stride) = 0
left join public.dbmail_mailboxes m on m.mailbox_idnr = i.id
left join dbmail_mesh.mailbox_register r on r.mailbox_idnr = i.id
order by i.id
