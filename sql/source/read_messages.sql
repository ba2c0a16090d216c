-- The current state of messages. A key of which nothing is known (a transaction that rolled back, say) gives no row.
-- Each is looked up by its key, whatever the statistics say: a plan that was made for a small node reads the tables from end to end.
-- $1 UIDs, current or former.
select v.birth_uid, v.state = 'd' as dead, coalesce(v.uid, v.birth_uid) as uid, coalesce(v.mailbox_idnr, 0) as mailbox_idnr,
       coalesce(c.origin_node, n.node_id) as origin_node, coalesce(c.origin_id, g.physmessage_id, 0) as origin_id,
       coalesce(g.physmessage_id, 0) as physmessage_id, v.flags, v.stamps, v.keywords,
       coalesce(p.messagesize, 0) as bytes, coalesce(g.unique_id, '') as unique_id, coalesce(l.status, g.status, 2::smallint) as status,
       coalesce((select jsonb_agg(jsonb_build_object('uid', b.uid, 'birth', b.birth_uid, 'decided_by', b.decided_by,
                                                     'decided_at', b.decided_at) order by b.uid)
                 from dbmail_mesh.number b where b.birth_uid = v.birth_uid), '[]'::jsonb) as numbers
from dbmail_mesh.view_states(array(select distinct dbmail_mesh.birth_of(k) from unnest($1::bigint[]) k)) v
cross join dbmail_mesh.local_node n
left join lateral (select g.physmessage_id, g.unique_id, g.status from public.dbmail_messages g
                   where g.message_idnr = v.row_idnr offset 0) g on true
left join lateral (select p.messagesize from public.dbmail_physmessage p where p.id = g.physmessage_id offset 0) p on true
left join dbmail_mesh.late l on l.row_idnr = v.row_idnr and l.row_idnr >= 281474976710656
left join lateral (select c.origin_node, c.origin_id from dbmail_mesh.content c
                   where c.physmessage_id = g.physmessage_id order by c.origin_node, c.origin_id limit 1) c on true
order by v.birth_uid
