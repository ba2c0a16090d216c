-- Mailboxes in which a delivery went without the lock. $1 the most rows.
select distinct o.mailbox_idnr
from dbmail_mesh.overtaking o
order by o.mailbox_idnr
limit $1
