select id
from dbmail_headervalue as headervalue
where not exists (select from dbmail_header where headervalue_id = headervalue.id)
order by id
for update
