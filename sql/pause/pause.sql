-- Pauses a link into this node, or the node; what is paused already keeps its time and whoever did it.
-- $1 the source, or 0; $2 who; $3 why, or null; $4 seconds for which the node still takes part in settlements.
insert into dbmail_mesh.pause as p (source_id, paused_by, reason, settles_until)
values ($1, $2, $3::text, clock_timestamp() + make_interval(secs => $4::double precision))
on conflict (source_id) do update set reason = coalesce(excluded.reason, p.reason)
returning p.token::text as token, p.since, extract(epoch from clock_timestamp() - p.since)::double precision as seconds,
          p.paused_by, p.reason, p.xmax = 0 as is_new
