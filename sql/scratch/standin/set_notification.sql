insert into dbmail_auto_notifications (user_idnr, notify_address)
values ($1, $2)
on conflict (user_idnr) do update set notify_address = excluded.notify_address
