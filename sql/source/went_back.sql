-- Whether this node has gone back in time: it has handed out fewer transactions than a peer has already seen of it.
-- $1 a snapshot that the peer has applied.
select pg_snapshot_xmax($1::text::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot()) as went_back
