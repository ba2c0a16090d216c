select id
from dbmail_mimeparts as part
where not exists (select from dbmail_partlists where part_id = part.id)
order by id
for update
