-- The same for users and mailboxes. $1 accounts, $2 mailbox_idnr.
with noted as (
  insert into dbmail_mesh.outbox (kind, key)
  select 'u', a.id from dbmail_mesh.account a where a.account = any ($1::text[])
  union all
  select 'b', i.id from unnest($2::bigint[]) i(id)
  returning 1
)
select dbmail_mesh.ring() from (select count(*) from noted) n
