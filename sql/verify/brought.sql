-- Whether this node has messages from a third one that another target has not. $1 the third node, $2 the target's cursor for it.
select exists (
  select from dbmail_mesh.outbox o
  where o.origin = $1 and o.kind = 'm' and o.source_xid is not null
    and not pg_visible_in_snapshot(o.source_xid, $2::text::pg_snapshot)) as found
