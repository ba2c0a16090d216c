-- Ends a pause. $1 the source, or 0.
delete from dbmail_mesh.pause p where p.source_id = $1
returning p.token::text as token, p.since, extract(epoch from clock_timestamp() - p.since)::double precision as seconds,
          p.paused_by, p.reason
