delete from dbmail_mimeparts as part
where id = any($1) and not exists (select from dbmail_partlists where part_id = part.id)
