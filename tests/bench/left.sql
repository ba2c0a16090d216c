select (select count(*) from dbmail_mesh.late) + (select count(*) from dbmail_mesh.set_aside)
