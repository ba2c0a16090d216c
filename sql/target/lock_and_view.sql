-- $1 mailbox_idnr, $2 birth UIDs.
select v.id, v.state, v.uid, v.row_idnr, v.mailbox_idnr, v.row_mailbox, v.flags, v.stamps, v.keywords
from dbmail_mesh.lock_and_view($1::bigint[], $2::bigint[]) v
