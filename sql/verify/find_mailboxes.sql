-- Mailboxes by owner/name, or by id. $1 what was asked for.
select i.asked, m.mailbox_idnr
from unnest($1::text[]) i(asked)
join public.dbmail_mailboxes m
  on m.mailbox_idnr::text = i.asked
  or m.mailbox_idnr in (select n.mailbox_idnr from public.dbmail_users u join public.dbmail_mailboxes n on n.owner_idnr = u.user_idnr
                        where concat(u.userid, '/', n.name) = i.asked)
left join public.dbmail_users o on o.user_idnr = m.owner_idnr
where o.userid is distinct from '__@!internal_delivery_user!@__'
order by m.mailbox_idnr
