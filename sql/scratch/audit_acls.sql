-- Rights in the letters of RFC 4314.
select format('%s on mailbox %s', account.userid, acl.mailbox_id) as key,
    array[concat(
        case when lookup_flag <> 0 then 'l' end,
        case when read_flag <> 0 then 'r' end,
        case when seen_flag <> 0 then 's' end,
        case when write_flag <> 0 then 'w' end,
        case when insert_flag <> 0 then 'i' end,
        case when post_flag <> 0 then 'p' end,
        case when create_flag <> 0 then 'k' end,
        case when delete_flag <> 0 then 'x' end,
        case when deleted_flag <> 0 then 't' end,
        case when expunge_flag <> 0 then 'e' end,
        case when administer_flag <> 0 then 'a' end
    )] as fields
from dbmail_acl as acl
join dbmail_users as account on account.user_idnr = acl.user_id
