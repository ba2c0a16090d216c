-- The row by which a delivered message becomes visible. $1 the mailbox, $2 the physmessage, $3 its unique_id
insert into dbmail_messages (
    mailbox_idnr, physmessage_id, seen_flag, answered_flag, deleted_flag, flagged_flag, recent_flag, draft_flag, unique_id, status
)
values ($1, $2, 0, 0, 0, 0, 1, 0, $3, 0)
returning message_idnr
