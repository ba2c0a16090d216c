-- Where mail for these mailboxes belongs on this node. $1 mailbox_idnr.
select i.id, p.place, p.verdict
from unnest($1::bigint[]) i(id) cross join lateral dbmail_mesh.place_of(i.id) p
