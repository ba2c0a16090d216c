-- What this node knows under the UIDs of messages: n nothing, s the same message, o another one, d one that died, and when.
-- $1 birth UIDs, $2 their unique_ids.
select case when exists (select from dbmail_mesh.number n where n.uid = i.birth_uid and n.birth_uid <> i.birth_uid) then 'o'
            when g.unique_id = i.unique_id then 's'
            when t.birth_uid is not null then 'd'
            when g.message_idnr is null then 'n'
            else 'o' end as known,
       (extract(epoch from t.died_at) * 1000000)::bigint as died_us
from unnest($1::bigint[], $2::text[]) with ordinality as i(birth_uid, unique_id, place)
left join dbmail_mesh.tombstone t on t.birth_uid = i.birth_uid
left join dbmail_mesh.late l on l.birth_uid = i.birth_uid
left join public.dbmail_messages g
  on g.message_idnr = coalesce(l.row_idnr, (select max(n.uid) from dbmail_mesh.number n where n.birth_uid = i.birth_uid), i.birth_uid)
order by i.place
