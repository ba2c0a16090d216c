-- Undoes 0025.
drop function dbmail_mesh.admit_program();
alter table dbmail_mesh.migration drop column needs;
delete from dbmail_mesh.migration where version = 25;
