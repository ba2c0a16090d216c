-- Which of these mailboxes are not here, and what stands in the way, if anything.
-- $1 mailbox_idnr, $2 account of the owner ('' when not known), $3 name.
select i.id,
       case when l.mailbox_idnr is not null then 'the mailbox was deleted on this node'
            when u.user_idnr is null then format('its owner %s does not exist on this node', quote_literal(i.owner))
            when t.mailbox_idnr is not null then format('%s already has a mailbox %s on this node, created on its own (id %s)',
                                                        quote_literal(i.owner), quote_literal(i.name), t.mailbox_idnr)
            else 'the mailbox is not known to its source either' end as reason
from unnest($1::bigint[], $2::text[], $3::text[]) i(id, owner, name)
left join public.dbmail_mailboxes m on m.mailbox_idnr = i.id
left join dbmail_mesh.line l on l.mailbox_idnr = i.id
left join public.dbmail_users u on u.user_idnr = dbmail_mesh.user_of(i.owner)
left join public.dbmail_mailboxes t on t.owner_idnr = u.user_idnr and t.name = i.name
where m.mailbox_idnr is null
