-- Messages and mailboxes of $1 that could not be joined are asked of $2 from now on, too: $1 is not heard of. Their keys are the same
-- there.
insert into dbmail_mesh.set_aside (source_id, kind, key, waits, sqlstate, reason)
select $2::smallint, a.kind, a.key, a.waits, a.sqlstate, a.reason
from dbmail_mesh.set_aside a
where a.source_id = $1::smallint and a.kind in ('m', 'b')
order by a.kind, a.key
on conflict do nothing
