-- What is paused on this node. $1 sources of links, 0 for the node itself.
select p.source_id, p.token::text as token, p.since, extract(epoch from clock_timestamp() - p.since)::double precision as seconds,
       p.paused_by, p.reason
from dbmail_mesh.pause p
where p.source_id = any ($1::smallint[])
