delete from dbmail_headername as headername
where id = any($1) and not exists (select from dbmail_header where headername_id = headername.id)
