select physmessage_id, seen_flag, answered_flag, deleted_flag, flagged_flag, draft_flag
from dbmail_messages
where message_idnr = $1
