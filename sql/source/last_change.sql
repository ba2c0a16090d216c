-- The newest row of the outbox.
select o.id, o.txid::text::bigint as xid, o.at from dbmail_mesh.outbox o order by o.id desc limit 1
