-- The links into this node as far as it knows them itself, begun or not. $1 the sources.
select i.source_id, c.from_snapshot::text as from_snapshot, c.to_snapshot::text as to_snapshot, c.last_id,
       c.moved_at as applied_at,
       case c.copy_stage when 'u' then 'users' when 'b' then 'mailboxes' when 'e' then 'entries' when 'm' then 'messages'
                         when 't' then 'tombstones' end as copy_stage,
       case when c.copy_stage is not null then c.copy_position end as copy_position,
       s.state, s.since, s.last_error, s.last_error_at, s.behind_since,
       case when s.behind_since is not null then greatest(extract(epoch from clock_timestamp() - s.behind_since), 0)::double precision
       end as behind_seconds,
       coalesce(s.relays, '{}') as relays,
       (select count(*) from dbmail_mesh.set_aside a where a.source_id = i.source_id) as set_aside_rows
from unnest($1::smallint[]) i(source_id)
left join dbmail_mesh.cursor c on c.source_id = i.source_id
left join dbmail_mesh.link_status s on s.source_id = i.source_id
