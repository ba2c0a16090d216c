-- $1 mailbox_idnr, $2 birth UIDs, $3 the lowest UID that is to be shown.
select v.id, v.state, v.uid, v.high, v.row_idnr, v.mailbox_idnr, v.row_mailbox, v.flags, v.stamps, v.keywords
from dbmail_mesh.lock_and_view($1::bigint[], $2::bigint[], $3) v
