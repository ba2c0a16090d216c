-- First copy: the next accounts. dbmail's own three exist on every node.
-- $1 the last key that is done, $2 the most rows.
select a.id as key
from dbmail_mesh.account a
where a.id > $1 and a.born_as not in ('__@!internal_delivery_user!@__', '__public__', 'anyone')
order by a.id
limit $2
