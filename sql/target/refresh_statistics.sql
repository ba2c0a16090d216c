-- Analyzes the tables that a batch looks things up in.
select dbmail_mesh.refresh_statistics()
