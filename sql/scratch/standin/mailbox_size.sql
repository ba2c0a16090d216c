select coalesce(sum(physmessage.messagesize), 0)::bigint
from dbmail_messages as message
join dbmail_physmessage as physmessage on physmessage.id = message.physmessage_id
where message.mailbox_idnr = $1 and message.status < 2
