-- What is here of accounts, and of those that have one of the userids.
-- $1 born_as, $2 generation, $3 userids.
select v.born_as, v.generation, v.state, v.stamps, v.vals
from dbmail_mesh.view_accounts($1::text[], $2::integer[], $3::text[]) v
