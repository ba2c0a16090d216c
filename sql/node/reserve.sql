-- $1 mailbox_idnr, $2 birth UIDs, $3 above which UID.
select r.uid, r.decided_at::text as decided_at
from dbmail_mesh.reserve($1, $2::bigint[], $3) r
