select physmessage.messagesize
from dbmail_messages as message
join dbmail_physmessage as physmessage on physmessage.id = message.physmessage_id
where message.message_idnr = $1
