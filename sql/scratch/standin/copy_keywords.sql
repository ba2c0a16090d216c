insert into dbmail_keywords (message_idnr, keyword)
select $2, keyword from dbmail_keywords where message_idnr = $1
on conflict do nothing
