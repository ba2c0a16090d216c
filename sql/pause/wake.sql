-- Wakes links that sleep: they look what is paused.
select pg_notify('dbmail_mesh', '')
