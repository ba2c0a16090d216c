-- $1 seconds that outbox rows are kept at the least.
select dbmail_mesh.purge_outbox(make_interval(secs => $1::double precision))
