-- $1 birth UIDs.
select v.birth_uid, v.state, v.uid, v.row_idnr, v.mailbox_idnr, v.row_mailbox
from dbmail_mesh.view_held($1::bigint[]) v
