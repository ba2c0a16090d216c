-- The last migration that was run here.
select coalesce(max(version), 0) as version from dbmail_mesh.migration
