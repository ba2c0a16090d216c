-- Whether a session that settles holds the line of a mailbox and waits for its next word.
select exists (
  select from pg_locks l
  join pg_stat_activity s using (pid)
  where s.application_name = 'dbmail-mesh settler' and s.state = 'idle in transaction' and l.granted
    and l.relation = 'dbmail_mesh.line'::regclass and l.mode = 'RowShareLock')
