-- How mailboxes with these ids were named, or ended, last on this node; no row: there was none. $1 mailbox_idnr.
select i.id as mailbox_idnr, r.renamed or f.mailbox_idnr is not null as is_later,
       greatest(r.name_stamp, floor(extract(epoch from f.decided_at) * 1000000 - 1577836800000000)::bigint * 4096) as stamp
from unnest($1::bigint[]) as i(id)
left join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = i.id
join dbmail_mesh.mailbox_register r on r.mailbox_idnr = i.id
order by i.id
