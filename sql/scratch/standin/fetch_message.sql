select message.message_idnr, message.unique_id, message.seen_flag, message.answered_flag, message.deleted_flag,
    message.flagged_flag, message.draft_flag, message.recent_flag, message.physmessage_id, physmessage.messagesize
from dbmail_messages as message
join dbmail_physmessage as physmessage on physmessage.id = message.physmessage_id
where message.mailbox_idnr = $1 and message.message_idnr = $2 and message.status < 2
