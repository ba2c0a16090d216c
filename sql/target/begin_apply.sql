-- Marks the transaction as the worker's own, so that the triggers are silent, and bounds its lock waits. No lock that dbmail may want
-- is held while content is under way, so a slow source may take its time: as long as a statement of it may last. But what a worker that is
-- gone has written keeps its successor from bringing the same.
-- $1 milliseconds.
select set_config('dbmail_mesh.applying', 'on', true), set_config('lock_timeout', $1::integer || 'ms', true),
       set_config('idle_in_transaction_session_timeout', '2min', true)
