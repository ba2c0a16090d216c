-- What this node has of these mailboxes, and of all others of these owners. No row: nothing.
-- An owner of whom the mesh does not know is told apart from others all the same.
-- $1 mailbox_idnr, $2 accounts.
select k.id, m.mailbox_idnr is not null as is_here, coalesce(a.account, '#' || m.owner_idnr, '#') as owner, m.name,
       m.seen_flag, m.answered_flag, m.deleted_flag, m.flagged_flag, m.recent_flag, m.draft_flag, m.no_inferiors, m.no_select, m.permission,
       coalesce(r.renamed, false) as renamed, coalesce(r.name_stamp, 0) as name_stamp,
       coalesce(r.no_select_stamp, 0) as no_select_stamp, coalesce(r.permission_stamp, 0) as permission_stamp,
       coalesce(r.rest_stamp, 0) as rest_stamp, f.mailbox_idnr is not null as has_ended, f.merged_into
from (select i.id from unnest($1::bigint[]) i(id)
      union
      select m.mailbox_idnr from unnest($2::text[]) o(account)
      join public.dbmail_mailboxes m on m.owner_idnr = dbmail_mesh.user_of(o.account)) k
left join public.dbmail_mailboxes m on m.mailbox_idnr = k.id
left join dbmail_mesh.account a on a.user_idnr = m.owner_idnr
left join dbmail_mesh.mailbox_register r on r.mailbox_idnr = k.id
left join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = k.id
where m.mailbox_idnr is not null or f.mailbox_idnr is not null
