select dbmail_mesh.come_back()
