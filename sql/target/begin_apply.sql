-- Marks the transaction as the worker's own, so that the triggers are silent, and bounds its lock waits.
-- $1 milliseconds.
select set_config('dbmail_mesh.applying', 'on', true), set_config('lock_timeout', $1::integer || 'ms', true)
