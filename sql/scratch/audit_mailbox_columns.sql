-- What all nodes must agree on about a mailbox beside its id.
select concat_ws('/', account.userid, mailbox.name) as key,
    array[
        mailbox.seen_flag, mailbox.answered_flag, mailbox.deleted_flag, mailbox.flagged_flag, mailbox.recent_flag,
        mailbox.draft_flag, mailbox.no_inferiors, mailbox.no_select, mailbox.permission
    ]::text[] as fields
from dbmail_mailboxes as mailbox
left join dbmail_users as account on account.user_idnr = mailbox.owner_idnr
where account.userid is distinct from $1
