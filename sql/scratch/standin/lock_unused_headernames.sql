select id
from dbmail_headername as headername
where not exists (select from dbmail_header where headername_id = headername.id)
order by id
for update
