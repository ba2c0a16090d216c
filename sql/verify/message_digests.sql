-- The messages of mailboxes within a range of UIDs. $1 above, $2 up to, $3 mailboxes, $4 whether bodies are read.
select d.birth_uid,
       case when $4 then hashint8extended(d.digest, dbmail_mesh.body_digest(d.physmessage_id)) else d.digest end as digest
from dbmail_mesh.message_digest d
where d.uid > $1 and d.uid <= $2 and d.mailbox_idnr = any ($3::bigint[])
