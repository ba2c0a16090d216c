-- How far are the links of this node? "in" is from the peer to here, "out" from here to the peer.
-- out: how many changes to messages the peer has not acknowledged, and how long the first has been waiting; it acknowledges once a second.
-- in: only the source can tell how many; seconds is how long ago the cursor moved: up to 10 where nothing comes, more is worth a look.
-- Reads the outbox from what the slowest peer has acknowledged on.
--   psql -f sql/inspect/links.sql dbmail

select l.direction as dir, l.peer, l.state, date_trunc('second', l.state_since) as state_since, l.messages, l.seconds,
       date_trunc('second', l.last_at) as last_at, l.remark
from dbmail_mesh.lag l
order by l.direction, l.peer_id;
