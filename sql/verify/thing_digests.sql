-- One digest a kind of thing. $1 mailboxes (null: everything).
select c.kind, count(*) as things, sum(hashtextextended(concat_ws(chr(31), c.key, c.value::text), 0))::text as digest
from dbmail_mesh.comparable c
where $1::bigint[] is null or c.mailbox_idnr = any ($1)
group by c.kind
