-- Mailboxes that this node has never had, under the ids that they have: the id is the UIDVALIDITY.
-- $1 mailbox_idnr, $2 account of the owner, $3 name, $4 to $9 flags, $10 no_inferiors, $11 no_select, $12 permission.
insert into public.dbmail_mailboxes (mailbox_idnr, owner_idnr, name, seen_flag, answered_flag, deleted_flag, flagged_flag,
  recent_flag, draft_flag, no_inferiors, no_select, permission)
select i.id, u.user_idnr, i.name, i.seen, i.answered, i.deleted, i.flagged, i.recent, i.draft, i.no_inferiors, i.no_select,
       i.permission
from unnest($1::bigint[], $2::text[], $3::text[], $4::smallint[], $5::smallint[], $6::smallint[], $7::smallint[],
            $8::smallint[], $9::smallint[], $10::smallint[], $11::smallint[], $12::smallint[])
  i(id, owner, name, seen, answered, deleted, flagged, recent, draft, no_inferiors, no_select, permission)
join public.dbmail_users u on u.user_idnr = dbmail_mesh.user_of(i.owner)
where not exists (select from dbmail_mesh.line l where l.mailbox_idnr = i.id)
order by i.id
on conflict do nothing
