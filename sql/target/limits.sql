-- What this node knows and a peer cannot change: the most nodes, and the time, in microseconds since 2020.
select n.stride, floor(extract(epoch from clock_timestamp()) * 1000000)::bigint - 1577836800000000 as clock
from dbmail_mesh.local_node n
