-- Which of these accounts this node has never heard of.
-- $1 accounts.
select i.account
from unnest($1::text[]) i(account)
where not exists (select from dbmail_mesh.account a where a.account = i.account)
order by i.account
