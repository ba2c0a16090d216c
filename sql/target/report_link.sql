-- $1 the source, $2 the state, $3 the error or null.
insert into dbmail_mesh.link_status as s (source_id, state, last_error, last_error_at)
values ($1, $2, $3::text, case when $3::text is not null then clock_timestamp() end)
on conflict (source_id) do update
set state = excluded.state, since = case when s.state = excluded.state then s.since else clock_timestamp() end,
    last_error = case when excluded.state = 'current' then null else coalesce(excluded.last_error, s.last_error) end,
    last_error_at = case when excluded.state = 'current' then null else coalesce(excluded.last_error_at, s.last_error_at) end
