-- What this node has of messages: all that is compared, and what keeps a difference from being one.
-- mailbox_ended: its mailbox is being emptied on this node; each node does that by itself, and ships nothing of it.
-- rows: under how many numbers it is visible; more than one is a row that is left over.
-- $1 birth UIDs, $2 whether bodies are read.
select v.birth_uid, v.state, v.row_idnr, v.uid as wanted_uid, v.row_mailbox, v.flags, v.stamps[6] as place_stamp,
       (select string_agg(w.keyword, ' ' order by w.keyword::text collate "C") from public.dbmail_keywords w
        where w.message_idnr = v.row_idnr) as keywords,
       g.unique_id,
       exists (select from public.dbmail_mailboxes m
               where m.mailbox_idnr = v.row_mailbox
                 and (exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = m.mailbox_idnr)
                      or exists (select from dbmail_mesh.account a where a.user_idnr = m.owner_idnr and a.died_at is not null)
                      or exists (select from dbmail_mesh.mailbox_register r
                                 where r.mailbox_idnr = m.mailbox_idnr and r.no_select_stamp > 0
                                   and dbmail_mesh.is_mere_name(r.mailbox_idnr)))) as mailbox_ended,
       (select count(*) from public.dbmail_messages r
        where r.status < 2 and (r.message_idnr in (select n.uid from dbmail_mesh.number n where n.birth_uid = v.birth_uid)
              or (r.message_idnr = v.birth_uid
                  and not exists (select from dbmail_mesh.number n where n.uid = v.birth_uid)))) as visible_rows,
       md5(concat_ws(' ', p.messagesize, p.rfcsize, p.internal_date,
         (select string_agg(concat_ws(' ', l.is_header, l.part_key, l.part_depth, l.part_order, m.size, m.hash::text), ','
                            order by l.part_key, l.part_depth, l.part_order)
          from public.dbmail_partlists l join public.dbmail_mimeparts m on m.id = l.part_id
          where l.physmessage_id = g.physmessage_id),
         case when $2::boolean then dbmail_mesh.body_digest(g.physmessage_id) end)) as content
from dbmail_mesh.view_states($1::bigint[]) v
left join public.dbmail_messages g on g.message_idnr = v.row_idnr
left join public.dbmail_physmessage p on p.id = g.physmessage_id
