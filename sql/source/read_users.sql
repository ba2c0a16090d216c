-- The replicated state of accounts, and how long ago each was seen reading here (null: never). A user who is dead but still here is
-- shipped as alive: his mail has not been put aside. $1 account.id.
select s.id, s.born_as, s.generation, s.state = 'd' as dead, s.gone_in, s.stamps, s.vals,
       extract(epoch from clock_timestamp() - p.seen_at)::double precision as seen_ago
from dbmail_mesh.account_state s
left join dbmail_mesh.presence p on p.user_idnr = s.user_idnr and p.seen_at < 'infinity'
where s.id = any ($1::bigint[]) and (s.state <> 'd' or s.gone_in is not null)
order by s.id
