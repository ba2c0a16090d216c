select count(*), coalesce(max(id), 0) from dbmail_physmessage
