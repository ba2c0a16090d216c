-- One digest a mailbox over a range of UIDs. A sum, in 128 bits: equal messages do not cancel each other out, and their order does not
-- matter. Those of the internal delivery user are in no mailbox yet.
-- offset 0: the range is read through the primary key, and not all messages of all mailboxes for the sake of their order.
-- $1 above, $2 up to, $3 mailboxes (null: all), $4 whether bodies are read.
select d.mailbox_idnr, count(*) as messages,
       sum(case when $4 then hashint8extended(d.digest, dbmail_mesh.body_digest(d.physmessage_id)) else d.digest end)::text as digest
from (select d.mailbox_idnr, d.physmessage_id, d.digest
      from dbmail_mesh.message_digest d
      where d.uid > $1 and d.uid <= $2 and ($3::bigint[] is null or d.mailbox_idnr = any ($3))
      offset 0) d
where d.mailbox_idnr <> all (array(select m.mailbox_idnr from public.dbmail_users u
                                   join public.dbmail_mailboxes m on m.owner_idnr = u.user_idnr
                                   where u.userid = '__@!internal_delivery_user!@__'))
group by d.mailbox_idnr
