-- Dead rows as well: their UIDs have a meaning, too, and must not get a second one.
select message.mailbox_idnr, message.message_idnr, message.unique_id
from dbmail_messages as message
join dbmail_mailboxes as mailbox on mailbox.mailbox_idnr = message.mailbox_idnr
join dbmail_users as account on account.user_idnr = mailbox.owner_idnr
where account.userid <> $1
