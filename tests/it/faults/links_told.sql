-- What this node says of its links, for people.
select string_agg(format('from %s: %s (%s); set aside: %s; late: %s', source_id, state, coalesce(last_error, 'no error'),
                         (select count(*) from dbmail_mesh.set_aside a where a.source_id = s.source_id),
                         (select count(*) from dbmail_mesh.late)), '; ' order by source_id)
from dbmail_mesh.link_status s
