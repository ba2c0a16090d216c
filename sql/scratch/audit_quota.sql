-- The accounts whose quota counter is not the size of what they show.
with used as (
    select mailbox.owner_idnr, sum(physmessage.messagesize)::bigint as bytes
    from dbmail_mailboxes as mailbox
    join dbmail_messages as message on message.mailbox_idnr = mailbox.mailbox_idnr
    join dbmail_physmessage as physmessage on physmessage.id = message.physmessage_id
    where message.status < 2
    group by mailbox.owner_idnr
)
select account.userid, account.curmail_size, coalesce(used.bytes, 0) as used
from dbmail_users as account
left join used on used.owner_idnr = account.user_idnr
where account.userid <> $1 and account.curmail_size <> coalesce(used.bytes, 0)
order by account.userid
