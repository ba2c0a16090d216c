-- $1 seconds that outbox rows are kept at the least, $2 the most rows that are kept, whoever still needs them.
select dbmail_mesh.purge_outbox(make_interval(secs => $1::double precision), $2)
