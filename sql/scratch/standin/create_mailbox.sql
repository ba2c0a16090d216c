insert into dbmail_mailboxes (name, owner_idnr, seen_flag, answered_flag, deleted_flag, flagged_flag, recent_flag, draft_flag, permission)
values ($2, $1, 1, 1, 1, 1, 1, 1, 2)
returning mailbox_idnr
