-- A node that takes too long is shown as such; it shall not go on working for nobody. $1 milliseconds, as text.
select set_config('statement_timeout', $1, false)
