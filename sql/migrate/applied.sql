-- The migrations that were run here.
select version, name, checksum from dbmail_mesh.migration order by version
