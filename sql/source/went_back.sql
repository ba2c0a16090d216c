-- Whether this node has gone back in time: it has handed out fewer transactions than a peer has already seen of it, or it lacks the last
-- change that the peer has applied.
-- $1 a snapshot that the peer has applied, $2 to $4 the outbox row of that change: id, transaction, and when it was
-- written.
select pg_snapshot_xmax($1::text::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot())
       or dbmail_mesh.has_gone_back($2, $3::text::xid8, $4) as went_back
