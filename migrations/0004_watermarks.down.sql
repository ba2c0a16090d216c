-- dbmail-mesh 0004, down: the lines stay until their table goes (0002 and 0001), for they say which numbers were used.

delete from dbmail_mesh.migration where version = 4;
