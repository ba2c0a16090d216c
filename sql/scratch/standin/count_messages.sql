select count(*), count(*) filter (where seen_flag = 1), count(*) filter (where recent_flag = 1)
from dbmail_messages
where mailbox_idnr = $1 and status < 2
