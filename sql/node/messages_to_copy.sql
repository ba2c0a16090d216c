-- What a first copy from this node brings: messages that are alive, and those that are dead.
select (select count(*) from public.dbmail_messages g where g.message_idnr < 281474976710656 and g.status < 2)
       + (select count(*) from dbmail_mesh.tombstone) as messages
