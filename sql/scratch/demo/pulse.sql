-- How many messages wait for a new UID on this node and for how many seconds the longest; which new UIDs this node knows of, and
-- of how many messages.
select (select count(*) from dbmail_mesh.late) as late,
       (select coalesce(extract(epoch from max(waiting)), 0)::double precision from dbmail_mesh.late_messages) as waited_s,
       count(*) as new_uids, count(distinct birth_uid) as renumbered
from dbmail_mesh.number
