-- $1 birth UIDs, $2 when each became visible where it was first, $3 whether the other node may have it, $4 mailboxes, $5 the highest UID
-- in each that the other node may have shown.
select p.birth_uid, p.at
from dbmail_mesh.passed_by($1::bigint[], $2::timestamptz[], $3::boolean[], $4::bigint[], $5::bigint[]) p
