select dbmail_mesh.forget_progress()
