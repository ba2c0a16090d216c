-- The renumber log of this node.
select old_uid, new_uid, upper(decided_on) as decided_on, was_visible
from dbmail_mesh.renumbers
order by new_uid
