-- $1 birth UIDs.
select v.birth_uid as id, v.state, v.uid, v.row_idnr, v.mailbox_idnr, v.row_mailbox, v.flags, v.stamps, v.keywords
from dbmail_mesh.view_states($1::bigint[]) v
