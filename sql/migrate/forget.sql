-- A down file that has left the table may leave this to the runner.
delete from dbmail_mesh.migration where version = $1
