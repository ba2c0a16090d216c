insert into dbmail_messages (
    mailbox_idnr, physmessage_id, seen_flag, answered_flag, deleted_flag, flagged_flag, recent_flag, draft_flag,
    unique_id, status
)
values ($1, $2, $3, $4, $5, $6, 1, $7, $8, 0)
returning message_idnr
