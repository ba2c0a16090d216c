-- Every visible message of people's mailboxes, with its content in comparable form: ids differ between nodes by design,
-- and so does the letter case of a header name, which the first message that used it has fixed.
with visible as (
    select account.userid, mailbox.name as mailbox, message.*
    from dbmail_messages as message
    join dbmail_mailboxes as mailbox on mailbox.mailbox_idnr = message.mailbox_idnr
    join dbmail_users as account on account.user_idnr = mailbox.owner_idnr
    where message.status < 2 and account.userid <> $1
),
part as (
    select partlist.physmessage_id,
        count(*) filter (where partlist.is_header = 1) as headers,
        count(*) filter (where partlist.is_header = 0) as bodies,
        sum(length(mimepart.data))::bigint as bytes,
        encode(sha256(string_agg(mimepart.data, ''::bytea order by partlist.part_key, partlist.part_depth, partlist.part_order)), 'hex') as digest,
        string_agg(
            concat_ws(' ', partlist.is_header, partlist.part_key, partlist.part_depth, partlist.part_order, mimepart.size, mimepart.hash),
            ',' order by partlist.part_key, partlist.part_depth, partlist.part_order
        ) as structure
    from dbmail_partlists as partlist
    join dbmail_mimeparts as mimepart on mimepart.id = partlist.part_id
    group by partlist.physmessage_id
),
header as (
    select header.physmessage_id, count(*) as count,
        string_agg(
            concat_ws(' ', lower(name.headername), value.hash, value.headervalue, value.sortfield, value.datefield), E'\n'
            order by lower(name.headername) collate "C", value.headervalue collate "C"
        ) as text
    from dbmail_header as header
    join dbmail_headername as name on name.id = header.headername_id
    join dbmail_headervalue as value on value.id = header.headervalue_id
    group by header.physmessage_id
),
reference as (
    select physmessage_id, string_agg(referencesfield, ' ' order by referencesfield collate "C") as text
    from dbmail_referencesfield
    group by physmessage_id
),
keyword as (
    select message_idnr, string_agg(keyword, ' ' order by keyword collate "C") as text
    from dbmail_keywords
    group by message_idnr
)
select visible.userid, visible.mailbox, visible.mailbox_idnr, visible.message_idnr, visible.unique_id,
    concat_ws(' ',
        case when visible.seen_flag <> 0 then '\Seen' end,
        case when visible.answered_flag <> 0 then '\Answered' end,
        case when visible.deleted_flag <> 0 then '\Deleted' end,
        case when visible.flagged_flag <> 0 then '\Flagged' end,
        case when visible.draft_flag <> 0 then '\Draft' end,
        keyword.text) as flags,
    concat_ws(' ', physmessage.messagesize, physmessage.rfcsize, physmessage.internal_date) as sizes,
    coalesce(part.digest, '') as digest,
    md5(concat_ws(E'\n', part.structure, header.text, reference.text, envelope.envelope)) as content,
    concat_ws(', ',
        case when coalesce(part.headers, 0) <> 1 then 'header part' end,
        case when coalesce(part.bodies, 0) = 0 then 'body parts' end,
        case when part.bytes is distinct from physmessage.messagesize then format('%s of %s bytes', part.bytes, physmessage.messagesize) end,
        case when header.count is null then 'header fields' end,
        case when envelope.id is null then 'envelope' end) as lacks
from visible
left join dbmail_physmessage as physmessage on physmessage.id = visible.physmessage_id
left join part on part.physmessage_id = visible.physmessage_id
left join header on header.physmessage_id = visible.physmessage_id
left join reference on reference.physmessage_id = visible.physmessage_id
left join dbmail_envelope as envelope on envelope.physmessage_id = visible.physmessage_id
left join keyword on keyword.message_idnr = visible.message_idnr
order by visible.userid, visible.mailbox, visible.message_idnr
