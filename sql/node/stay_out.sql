-- $1 why; null: it was taken out of the mesh.
select dbmail_mesh.stay_out($1)
