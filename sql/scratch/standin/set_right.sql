-- One right, by its letter (RFC 4314).
update dbmail_acl
set lookup_flag = case $3 when 'l' then $4 else lookup_flag end,
    read_flag = case $3 when 'r' then $4 else read_flag end,
    seen_flag = case $3 when 's' then $4 else seen_flag end,
    write_flag = case $3 when 'w' then $4 else write_flag end,
    insert_flag = case $3 when 'i' then $4 else insert_flag end,
    post_flag = case $3 when 'p' then $4 else post_flag end,
    create_flag = case $3 when 'k' then $4 else create_flag end,
    delete_flag = case $3 when 'x' then $4 else delete_flag end,
    deleted_flag = case $3 when 't' then $4 else deleted_flag end,
    expunge_flag = case $3 when 'e' then $4 else expunge_flag end,
    administer_flag = case $3 when 'a' then $4 else administer_flag end
where user_id = $1 and mailbox_id = $2
