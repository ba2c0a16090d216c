-- How many messages this node knows to have got a new UID, and how many new UIDs were given out for them; deliveries that may
-- have overtaken others, and that nobody has looked at yet.
select count(distinct birth_uid) as renumbered, count(*) as new_uids, (select count(*) from dbmail_mesh.overtaking) as overtaking
from dbmail_mesh.number
