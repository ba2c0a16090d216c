-- This node's clock: seconds since 1970.
select extract(epoch from clock_timestamp())::double precision as at_s
