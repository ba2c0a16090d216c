-- Which of these mailboxes this node has never had: neither the mailbox nor its line row.
-- $1 mailbox_idnr.
select i.id
from unnest($1::bigint[]) i(id)
where not exists (select from dbmail_mesh.line l where l.mailbox_idnr = i.id)
order by i.id
