-- First copy: the next entries, those of deleted rows among them.
-- $1 the last key that is done, $2 the most rows.
select e.id as key
from dbmail_mesh.entry e
where e.id > $1
order by e.id
limit $2
