-- dbmail-mesh 0012, down. What it replaced goes with the migrations that made it; no worker runs on a node that is taken back.

drop function dbmail_mesh.note_plan(jsonb, smallint);
drop function dbmail_mesh.write_registers(jsonb, jsonb, jsonb);
drop function dbmail_mesh.write_marks(jsonb, jsonb);
drop function dbmail_mesh.write_waits(jsonb);
drop function dbmail_mesh.write_stows(jsonb);
drop function dbmail_mesh.write_owner_sizes(jsonb);
drop function dbmail_mesh.touched_by(jsonb);
drop function dbmail_mesh.lock_planned_rows(jsonb);
drop function dbmail_mesh.view_states(bigint[]);

delete from dbmail_mesh.migration where version = 12;
