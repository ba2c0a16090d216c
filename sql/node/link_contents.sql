-- A proven copy: the content of its messages is that of the node that it was copied from.
-- $1 that node, $2 message_idnr, $3 dbmail_physmessage.id there.
insert into dbmail_mesh.content (origin_node, origin_id, physmessage_id)
select distinct on (i.origin_id) $1::smallint, i.origin_id, g.physmessage_id
from unnest($2::bigint[], $3::bigint[]) i(uid, origin_id)
join public.dbmail_messages g on g.message_idnr = i.uid
order by i.origin_id
on conflict do nothing
