-- Mailboxes with their owners' accounts: user_idnr differs between nodes.
-- $1 mailbox_idnr.
select m.mailbox_idnr, a.id as owner_id, a.account as owner, m.name, m.seen_flag, m.answered_flag, m.deleted_flag, m.flagged_flag,
       m.recent_flag, m.draft_flag, m.no_inferiors, m.no_select, m.permission
from public.dbmail_mailboxes m
join dbmail_mesh.account a on a.user_idnr = m.owner_idnr
where m.mailbox_idnr = any ($1::bigint[]) and a.born_as <> '__@!internal_delivery_user!@__'
order by m.mailbox_idnr
