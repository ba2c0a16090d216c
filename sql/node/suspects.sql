-- Messages that were delivered here and that no peer has acknowledged, as far as this node knows: after it has forgotten something, their
-- UIDs may have been handed out before. $1 whether this server's transactions are not those of the outbox.
with unheard as (
  select dbmail_mesh.birth_of(o.key) as birth_uid, max(o.at) as at
  from dbmail_mesh.outbox o
  where o.kind = 'm' and o.origin is null
    and ($1::boolean or not exists (select from dbmail_mesh.acknowledged a where pg_visible_in_snapshot(o.txid, a.snapshot)))
  group by 1
), suspect as (
  select u.birth_uid, u.at, g.message_idnr, g.physmessage_id, g.unique_id
  from unheard u
  cross join dbmail_mesh.local_node n
  left join dbmail_mesh.late l on l.birth_uid = u.birth_uid
  join public.dbmail_messages g on g.message_idnr = coalesce(l.row_idnr, u.birth_uid)
  where mod(u.birth_uid - n.node_id, n.stride) = 0 and (g.status < 2 or l.row_idnr is not null)
)
select s.birth_uid, (extract(epoch from s.at) * 1000000)::bigint as noted_us, s.unique_id, s.physmessage_id,
       not exists (select from public.dbmail_messages x
                   where x.physmessage_id = s.physmessage_id and x.message_idnr not in (select y.message_idnr from suspect y)) as is_alone
from suspect s
order by s.birth_uid
