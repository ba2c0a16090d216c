-- What this node knows of a peer: who it is, how far this node has taken over what it has, and what it has acknowledged. $1 the peer.
select p.incarnation::text as incarnation, p.left_at is not null as has_left, a.snapshot is not null as has_acknowledged
from (values ($1::smallint)) as i(node_id)
left join dbmail_mesh.peer p on p.node_id = i.node_id
left join dbmail_mesh.acknowledged a on a.target_id = i.node_id
