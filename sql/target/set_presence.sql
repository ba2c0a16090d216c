-- $1 seconds; null: every mailbox counts as read.
select dbmail_mesh.set_presence(make_interval(secs => $1))
