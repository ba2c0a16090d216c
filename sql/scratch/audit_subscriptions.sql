select format('%s to mailbox %s', account.userid, subscription.mailbox_id) as key, '{}'::text[] as fields
from dbmail_subscription as subscription
join dbmail_users as account on account.user_idnr = subscription.user_id
join dbmail_mailboxes as mailbox on mailbox.mailbox_idnr = subscription.mailbox_id
left join dbmail_users as owner on owner.user_idnr = mailbox.owner_idnr
where owner.userid is distinct from $1
