update dbmail_messages set recent_flag = 0, seq = $2
where message_idnr in (
    select message_idnr
    from dbmail_messages
    where mailbox_idnr = $1 and recent_flag = 1 and seq < $2 and status < 2
    -- The order in which EXPUNGE locks: two sessions of the stand-in must not deadlock each other.
    order by message_idnr desc
    for no key update
)
