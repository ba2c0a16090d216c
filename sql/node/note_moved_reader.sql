-- $1 user_idnr, $2 the node that is gone, $3 since when, $4 how many messages were queued.
insert into dbmail_mesh.moved_reader as m (user_idnr, node_id, lost_at, messages) values ($1, $2, $3, $4)
on conflict (user_idnr, node_id) do update
set lost_at = excluded.lost_at, looked_at = excluded.looked_at,
    messages = case when m.lost_at = excluded.lost_at then m.messages else 0 end + excluded.messages
