-- What this node has of users, mailboxes and entries. $1 kinds, $2 keys (null: all), $3 mailboxes (null: everything).
select c.kind, c.key, c.pending, c.value::text as value
from dbmail_mesh.comparable c
where c.kind = any ($1::text[]) and ($2::text[] is null or c.key = any ($2))
  and ($3::bigint[] is null or c.mailbox_idnr = any ($3))
