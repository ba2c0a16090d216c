-- Since when HIGHESTMODSEQs of a source wait to be taken over. $1 the source, $2 for how many seconds; null: none does.
update dbmail_mesh.link_status set behind_since = clock_timestamp() - make_interval(secs => $2) where source_id = $1
