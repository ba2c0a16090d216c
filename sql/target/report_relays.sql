-- $1 the source, $2 the third nodes.
update dbmail_mesh.link_status set relays = $2 where source_id = $1 and relays <> $2
