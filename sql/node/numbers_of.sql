-- The numbers that messages were given after their birth. $1 birth UIDs.
select n.uid, n.birth_uid, n.decided_by, n.decided_at::text as decided_at
from dbmail_mesh.number n
where n.birth_uid = any ($1::bigint[])
