insert into dbmail_header (physmessage_id, headername_id, headervalue_id)
values ($1, $2, $3)
on conflict do nothing
