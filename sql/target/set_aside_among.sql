-- Which of these accounts and mailboxes of a source were refused here.
-- $1 the source, $2 account.id, $3 mailbox_idnr.
select a.kind, a.key
from dbmail_mesh.set_aside a
where a.source_id = $1 and not a.waits
  and ((a.kind = 'u' and a.key = any ($2::bigint[])) or (a.kind = 'b' and a.key = any ($3::bigint[])))
