-- The schema's version, and the one that a program has to know to work with it: each version says it of all before it, too. The column
-- "needs" is looked up by name, since it is not there before version 20.
select coalesce(m.version, 0) as version, coalesce(m.needs, 0) as needs
from (select) as asked
left join (select v.version, coalesce((to_jsonb(v) ->> 'needs')::integer, v.version) as needs
           from dbmail_mesh.migration v order by v.version desc limit 1) m on true
