-- Messages that were delivered here and that not all members have acknowledged, as far as this node knows: after it has forgotten
-- something, their UIDs may have been handed out before. Also those that are dead by now. $1 whether this server's transactions are not
-- those of the outbox.
with unheard as (
  select dbmail_mesh.birth_of(o.key) as birth_uid, max(o.at) as at
  from dbmail_mesh.outbox o
  where o.kind = 'm' and o.origin is null
    and ($1::boolean
         or exists (select from dbmail_mesh.peer p left join dbmail_mesh.acknowledged a on a.target_id = p.node_id
                    where p.left_at is null and (a.target_id is null or not pg_visible_in_snapshot(o.txid, a.snapshot))))
  group by 1
), suspect as (
  select u.birth_uid, u.at, g.message_idnr, g.physmessage_id, g.unique_id,
         l.row_idnr is null and coalesce(g.status >= 2, true) as is_dead
  from unheard u
  cross join dbmail_mesh.local_node n
  left join dbmail_mesh.late l on l.birth_uid = u.birth_uid
  left join public.dbmail_messages g on g.message_idnr = coalesce(l.row_idnr, u.birth_uid)
  where mod(u.birth_uid - n.node_id, n.stride) = 0
)
select s.birth_uid, (extract(epoch from s.at) * 1000000)::bigint as noted_us, coalesce(s.unique_id, '') as unique_id,
       coalesce(s.physmessage_id, 0) as physmessage_id, s.is_dead,
       not s.is_dead
       and not exists (select from public.dbmail_messages x
                       where x.physmessage_id = s.physmessage_id
                         and not exists (select from suspect y where y.message_idnr = x.message_idnr)) as is_alone
from suspect s
where not s.is_dead or exists (select from dbmail_mesh.tombstone t where t.birth_uid = s.birth_uid)
order by s.birth_uid
