-- Which of these mailboxes are not here and have not ended either.
-- $1 mailbox_idnr.
select i.id
from unnest($1::bigint[]) i(id)
where not exists (select from public.dbmail_mailboxes m where m.mailbox_idnr = i.id)
  and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = i.id)
order by i.id
