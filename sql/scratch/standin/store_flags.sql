update dbmail_messages
set seen_flag = coalesce($2, seen_flag),
    answered_flag = coalesce($3, answered_flag),
    deleted_flag = coalesce($4, deleted_flag),
    flagged_flag = coalesce($5, flagged_flag),
    draft_flag = coalesce($6, draft_flag)
where message_idnr = $1 and status < 2 and ($7::bigint is null or seq <= $7)
