-- Of mailboxes of another node those whose HIGHESTMODSEQ is lower here. $1 mailbox_idnr, $2 how far each is there.
select m.mailbox_idnr
from unnest($1::bigint[], $2::bigint[]) i(mailbox_idnr, seq)
join public.dbmail_mailboxes m on m.mailbox_idnr = i.mailbox_idnr
where m.seq < i.seq and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = i.mailbox_idnr)
