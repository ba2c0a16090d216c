-- Notes how far this node's numbers are used up, unless that was done within the last hour.
select dbmail_mesh.sample_numbers(clock_timestamp()) as sampled
