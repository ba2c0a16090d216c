select message_idnr, unique_id, seen_flag, answered_flag, deleted_flag, flagged_flag, draft_flag, recent_flag
from dbmail_messages
where mailbox_idnr = $1 and status < 2 and message_idnr > $2
order by message_idnr
