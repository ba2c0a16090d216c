-- Which of these mailboxes are not here, and why.
-- $1 mailbox_idnr, $2 account of the owner ('' when not known), $3 the source.
select i.id, f.mailbox_idnr is not null as has_ended,
       case when f.merged_into is not null then format('it was merged into mailbox %s', f.merged_into)
            when f.mailbox_idnr is not null then 'the mailbox was deleted'
            when a.key is not null then 'it was refused itself'
            when i.owner = '' then 'the mailbox is not known to its source either'
            when dbmail_mesh.user_of(i.owner) is null then format('its owner %s does not exist on this node', quote_literal(i.owner))
            else 'it has only just come into being' end as reason
from unnest($1::bigint[], $2::text[]) i(id, owner)
left join public.dbmail_mailboxes m on m.mailbox_idnr = i.id
left join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = i.id
left join dbmail_mesh.set_aside a on a.source_id = $3 and a.kind = 'b' and a.key = i.id and not a.waits
where m.mailbox_idnr is null
