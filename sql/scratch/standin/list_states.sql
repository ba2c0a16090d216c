select message_idnr, unique_id, seen_flag, answered_flag, deleted_flag, flagged_flag, draft_flag, seq
from dbmail_messages
where mailbox_idnr = $1 and status < 2
order by message_idnr
