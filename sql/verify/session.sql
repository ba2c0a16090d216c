-- Bounds of a session that compares: it reads only, no statement lasts for ever, and each is planned for what it is asked for.
-- $1 milliseconds.
select set_config('statement_timeout', $1::text, false), set_config('default_transaction_read_only', 'on', false),
       set_config('plan_cache_mode', 'force_custom_plan', false)
