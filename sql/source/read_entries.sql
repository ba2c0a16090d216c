-- The current state of entries. Those of accounts that are gone, and of mailboxes that are gone or merged, are nobody's.
-- $1 entry.id.
select e.id, e.kind, e.key::text as key, e.stamp, case when e.present then e.value::text end as value, a.id as account_id, a.account,
       m.mailbox_idnr as mailbox
from dbmail_mesh.entry e
left join dbmail_mesh.account a on a.account = e.key ->> 'account'
left join public.dbmail_mailboxes m on m.mailbox_idnr = (e.key ->> 'mailbox')::bigint
where e.id = any ($1::bigint[])
  and (not e.key ? 'account' or (a.id is not null and a.gone_in is null))
  and (not e.key ? 'mailbox' or (m.mailbox_idnr is not null
       and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = m.mailbox_idnr)
       and dbmail_mesh.account_of(m.owner_idnr) is distinct from '__@!internal_delivery_user!@__/1'))
order by e.id
