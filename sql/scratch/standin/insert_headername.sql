insert into dbmail_headername (headername) values ($1) on conflict do nothing returning id
