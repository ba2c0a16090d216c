delete from dbmail_physmessage as physmessage
where id = any($1) and not exists (select from dbmail_messages where physmessage_id = physmessage.id)
