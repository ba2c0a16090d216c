delete from dbmail_partlists as partlist
where not exists (select from dbmail_physmessage where id = partlist.physmessage_id)
