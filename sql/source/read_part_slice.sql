-- $1 dbmail_mimeparts.id, $2 first byte (from 1), $3 bytes.
select substring(m.data from $2::integer for $3::integer) as data
from public.dbmail_mimeparts m
where m.id = $1
