-- How many messages wait for a new UID on this node and for how many seconds the longest, and how many new UIDs it knows of.
select (select count(*) from dbmail_mesh.late) as late,
       (select coalesce(extract(epoch from max(waiting)), 0)::double precision from dbmail_mesh.late_messages) as waited_s,
       (select count(*) from dbmail_mesh.number) as renumbered
