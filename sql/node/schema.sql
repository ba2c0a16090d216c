-- The schema's version, and the one that a program has to know to work with it. The column "needs" is looked up by name, since it is not
-- there before version 20.
select coalesce(max(m.version), 0) as version, coalesce(max(coalesce((to_jsonb(m) ->> 'needs')::integer, m.version)), 0) as needs
from dbmail_mesh.migration m
