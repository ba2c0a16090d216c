select account.userid as key, array[notification.notify_address]::text[] as fields
from dbmail_auto_notifications as notification
join dbmail_users as account on account.user_idnr = notification.user_idnr
