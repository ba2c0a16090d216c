insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, recent_flag, status)
values ($1, $2, $3, 1, 5)
returning message_idnr
