insert into dbmail_physmessage (internal_date) values (date_trunc('second', localtimestamp)) returning id
