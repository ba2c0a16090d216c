-- How mailboxes with these ids were named, or ended, last on this node; no row: there was none. $1 mailbox_idnr.
select i.id as mailbox_idnr, coalesce(r.renamed, false) or f.mailbox_idnr is not null as is_later,
       greatest(r.name_stamp, floor(extract(epoch from f.decided_at) * 1000000 - 1577836800000000)::bigint * 4096, 0) as stamp,
       m.mailbox_idnr is not null as is_alive, dbmail_mesh.account_of(m.owner_idnr) as owner
from unnest($1::bigint[]) as i(id)
left join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = i.id
left join dbmail_mesh.mailbox_register r on r.mailbox_idnr = i.id
left join public.dbmail_mailboxes m on m.mailbox_idnr = i.id
where f.mailbox_idnr is not null or m.mailbox_idnr is not null
order by i.id
