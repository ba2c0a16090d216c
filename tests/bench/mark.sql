-- Each link from here stores how far it is as soon as it comes by.
select pg_current_xact_id()::text from dbmail_mesh.note('w', 0)
