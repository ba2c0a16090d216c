delete from dbmail_headervalue as headervalue
where id = any($1) and not exists (select from dbmail_header where headervalue_id = headervalue.id)
