-- What time it is here, asked in one flight with a bound: a node that takes too long is shown as such, and shall not go on working for
-- nobody. $1 milliseconds, as text.
select clock_timestamp() as now, set_config('statement_timeout', $1, false) as bound
