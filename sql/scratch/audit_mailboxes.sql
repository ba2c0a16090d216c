select account.userid, mailbox.name, mailbox.mailbox_idnr
from dbmail_mailboxes as mailbox
join dbmail_users as account on account.user_idnr = mailbox.owner_idnr
where account.userid <> $1
order by account.userid, mailbox.name
