-- $1 birth UIDs, $2 when each became visible where it was first, $3 since when the other node is gone.
select p.birth_uid, p.at from dbmail_mesh.passed_by($1::bigint[], $2::timestamptz[], $3) p
