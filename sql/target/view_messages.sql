-- $1 birth UIDs.
select v.birth_uid as id, v.state, v.uid, v.row_idnr, v.mailbox_idnr
from dbmail_mesh.view_messages($1::bigint[]) v
