select message.message_idnr, message.unique_id, physmessage.messagesize
from dbmail_messages as message
join dbmail_physmessage as physmessage on physmessage.id = message.physmessage_id
where message.mailbox_idnr = $1 and message.deleted_flag = 1 and message.status < 2
order by message.message_idnr desc
