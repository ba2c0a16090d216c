-- Mailboxes with their owners' accounts: user_idnr differs between nodes. One that was deleted and is still here is told as alive until
-- its messages have been taken out; one that was merged is told as merged at once.
-- $1 mailbox_idnr.
select i.id, a.id as owner_id, a.account as owner, m.name, coalesce(m.seq, 0) as seq, m.seen_flag, m.answered_flag, m.deleted_flag,
       m.flagged_flag, m.recent_flag, m.draft_flag, m.no_inferiors, m.no_select, m.permission,
       coalesce(r.renamed, false) as renamed, coalesce(r.name_stamp, 0) as name_stamp,
       coalesce(r.no_select_stamp, 0) as no_select_stamp, coalesce(r.permission_stamp, 0) as permission_stamp,
       coalesce(r.rest_stamp, 0) as rest_stamp, f.mailbox_idnr is not null as has_ended, f.merged_into, f.gone_in::text as gone_in
from unnest($1::bigint[]) i(id)
left join public.dbmail_mailboxes m on m.mailbox_idnr = i.id
left join dbmail_mesh.line l on l.mailbox_idnr = i.id
left join dbmail_mesh.account a on a.user_idnr = coalesce(m.owner_idnr, l.owner_idnr)
left join dbmail_mesh.mailbox_register r on r.mailbox_idnr = i.id
left join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = i.id and (f.merged_into is not null or f.gone_in is not null)
where f.mailbox_idnr is not null
   or (m.mailbox_idnr is not null and a.account is not null and a.born_as <> '__@!internal_delivery_user!@__')
order by i.id
