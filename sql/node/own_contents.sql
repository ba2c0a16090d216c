-- Contents that were delivered here and have no other address than their id.
select p.id
from public.dbmail_physmessage p
where not exists (select from dbmail_mesh.content c where c.physmessage_id = p.id)
