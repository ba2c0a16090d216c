select id
from dbmail_physmessage as physmessage
where not exists (select from dbmail_messages where physmessage_id = physmessage.id)
order by id
for update
