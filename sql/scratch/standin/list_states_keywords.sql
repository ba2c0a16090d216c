select keyword.message_idnr, keyword.keyword
from dbmail_keywords as keyword
join dbmail_messages as message on message.message_idnr = keyword.message_idnr
where message.mailbox_idnr = $1 and message.status < 2
