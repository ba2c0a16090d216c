-- First copy: the next mailboxes, ended ones too; those of the internal delivery user are each node's own.
-- $1 the last key that is done, $2 the most rows.
select k.key
from ((select m.mailbox_idnr as key
       from public.dbmail_mailboxes m
       left join public.dbmail_users u on u.user_idnr = m.owner_idnr
       where m.mailbox_idnr > $1 and u.userid is distinct from '__@!internal_delivery_user!@__'
       order by m.mailbox_idnr
       limit $2)
      union
      (select f.mailbox_idnr
       from dbmail_mesh.mailbox_fate f
       where f.mailbox_idnr > $1
       order by f.mailbox_idnr
       limit $2)) k
order by k.key
limit $2
