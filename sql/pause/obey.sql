-- A link stands still. $1 the source, $2 the pauses that it obeys.
insert into dbmail_mesh.link_status as s (source_id, state, obeys) values ($1, 'paused', $2::text[]::uuid[])
on conflict (source_id) do update
set state = excluded.state, obeys = excluded.obeys,
    since = case when s.state = excluded.state then s.since else clock_timestamp() end
