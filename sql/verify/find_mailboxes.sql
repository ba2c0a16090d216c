-- Mailboxes by owner/name, or by id. $1 what was asked for.
select f.asked, m.mailbox_idnr
from (select i.asked, b.mailbox_idnr
      from unnest($1::text[]) i(asked)
      join public.dbmail_mailboxes b on b.mailbox_idnr::text = i.asked
      union
      select i.asked, b.mailbox_idnr
      from unnest($1::text[]) i(asked)
      join public.dbmail_users u on starts_with(i.asked, concat(u.userid, '/'))
      join public.dbmail_mailboxes b on b.owner_idnr = u.user_idnr and b.name = substr(i.asked, length(u.userid) + 2)) f
join public.dbmail_mailboxes m on m.mailbox_idnr = f.mailbox_idnr
left join public.dbmail_users o on o.user_idnr = m.owner_idnr
where o.userid is distinct from '__@!internal_delivery_user!@__'
order by m.mailbox_idnr
