-- Mailboxes with their owners' names: user_idnr differs between nodes, userid does not.
-- $1 mailbox_idnr.
select m.mailbox_idnr, m.owner_idnr, u.userid as owner, m.name, m.seen_flag, m.answered_flag, m.deleted_flag, m.flagged_flag,
       m.recent_flag, m.draft_flag, m.no_inferiors, m.no_select, m.permission
from public.dbmail_mailboxes m
join public.dbmail_users u on u.user_idnr = m.owner_idnr
where m.mailbox_idnr = any ($1::bigint[]) and u.userid <> '__@!internal_delivery_user!@__'
order by m.mailbox_idnr
