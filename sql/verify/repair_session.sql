-- A session that marks waits for no lock for long.
select set_config('lock_timeout', '250ms', false)
