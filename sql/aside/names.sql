-- What rows of this node are called that a target has set aside: users, mailboxes, UIDs, kinds of entries, and nothing of their content.
-- $1 kinds as in the view dbmail_mesh.aside, $2 keys.
select i.kind, i.key,
       case i.kind
         when 'user' then coalesce(u.userid, a.born_as || ', who is gone')
         when 'entry' then concat_ws(' of ', e.kind, e.key ->> 'account')
         when 'message' then coalesce(concat_ws(' / ', o.userid, b.name) || ', UID ' || v.uid, 'expunged')
         else concat_ws(' / ', o.userid, b.name)
       end as name
from unnest($1::text[], $2::bigint[]) i(kind, key)
left join dbmail_mesh.account a on i.kind = 'user' and a.id = i.key
left join public.dbmail_users u on u.user_idnr = a.user_idnr
left join dbmail_mesh.entry e on i.kind = 'entry' and e.id = i.key
left join lateral (select w.uid, w.mailbox_idnr from dbmail_mesh.view_messages(array[dbmail_mesh.birth_of(i.key)]) w
                   where i.kind = 'message' and w.state <> 'd') v on true
left join public.dbmail_mailboxes b on b.mailbox_idnr = case when i.kind = 'message' then v.mailbox_idnr
                                                             when i.kind in ('mailbox', 'modseq') then i.key end
left join public.dbmail_users o on o.user_idnr = b.owner_idnr
where a.id is not null or e.id is not null or i.kind = 'message' or b.mailbox_idnr is not null
