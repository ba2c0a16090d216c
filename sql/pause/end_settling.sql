-- This node, which is paused, takes no part in settlements from now on.
update dbmail_mesh.pause set settles_until = clock_timestamp() where source_id = 0 and settles_until > clock_timestamp()
