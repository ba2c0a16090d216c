-- The two nodes have been proven to hold the same: there is nothing to be copied, and to compare a million messages one by one takes long.
update dbmail_mesh.cursor set copy_stage = null, copy_position = 0 where copy_stage is not null
