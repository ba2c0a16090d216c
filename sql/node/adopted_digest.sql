-- One row a mailbox with mail from before the install: what it is called and a digest of that mail as far as it is alive.
-- unique_id and the hashes of the parts stand for the content, in their places. $1 the highest UID to compare, $2 UIDs to leave out.
select u.userid as owner, m.mailbox_idnr, m.name, count(*) as messages,
       sum(hashtextextended(concat_ws(E'\x1f', g.message_idnr, g.unique_id, p.rfcsize, c.parts), 11)::numeric)::text as digest
from public.dbmail_messages g
join public.dbmail_mailboxes m on m.mailbox_idnr = g.mailbox_idnr
join public.dbmail_users u on u.user_idnr = m.owner_idnr
join public.dbmail_physmessage p on p.id = g.physmessage_id
left join lateral (
  select string_agg(concat_ws(':', l.part_key, l.part_depth, l.part_order, l.is_header, rtrim(t.hash), t.size), ','
                    order by l.part_key, l.part_depth, l.part_order) as parts
  from public.dbmail_partlists l join public.dbmail_mimeparts t on t.id = l.part_id
  where l.physmessage_id = p.id
) c on true
where g.message_idnr <= $1 and g.status < 2 and u.userid <> '__@!internal_delivery_user!@__'
  and not exists (select from dbmail_mesh.number n where n.uid = g.message_idnr)
  and not exists (select from unnest($2::bigint[]) x(uid) where x.uid = g.message_idnr)
group by u.userid, m.mailbox_idnr, m.name
order by m.mailbox_idnr
