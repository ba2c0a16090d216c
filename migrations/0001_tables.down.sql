-- dbmail-mesh 0001, down: the schema goes, with the log of what was renumbered.
-- Save dbmail_mesh.renumbers first if you want to keep it.

drop schema dbmail_mesh cascade;
