-- Every so many messages, a UID: between two of them lies what is compared at once.
-- $1 how many, $2 mailboxes; null: all.
select k.uid
from (select g.message_idnr as uid, row_number() over (order by g.message_idnr) as nth
      from public.dbmail_messages g
      where g.message_idnr < 281474976710656 and ($2::bigint[] is null or g.mailbox_idnr = any ($2))) k
where k.nth % $1 = 0
order by k.uid
