-- The file has noted itself; only this program knows its checksum.
update dbmail_mesh.migration set checksum = $2 where version = $1 and name = $3
