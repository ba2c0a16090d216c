-- The replicated state of accounts. A user who is dead but still here is shipped as alive: his mail has not been put aside.
-- $1 account.id.
select s.id, s.born_as, s.generation, s.state = 'd' as dead, s.gone_in, s.stamps, s.vals
from dbmail_mesh.account_state s
where s.id = any ($1::bigint[]) and (s.state <> 'd' or s.gone_in is not null)
order by s.id
