-- From here on they are checked again.
select dbmail_mesh.resume_checks()
