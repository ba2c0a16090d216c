select account.userid as key, array[reply.start_date::text, reply.stop_date::text, reply.reply_body] as fields
from dbmail_auto_replies as reply
join dbmail_users as account on account.user_idnr = reply.user_idnr
