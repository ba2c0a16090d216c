insert into dbmail_auto_replies (user_idnr, start_date, stop_date, reply_body)
values ($1, $2, $3, $4)
on conflict (user_idnr) do update
set start_date = excluded.start_date, stop_date = excluded.stop_date, reply_body = excluded.reply_body
