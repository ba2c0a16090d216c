select message_idnr
from dbmail_messages
where mailbox_idnr = $1 and status < 2 and message_idnr = any($2)
order by message_idnr
