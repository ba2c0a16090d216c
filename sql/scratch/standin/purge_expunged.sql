update dbmail_messages set status = 3
where message_idnr in (
    select message_idnr
    from dbmail_messages
    where status = 2
    -- The order in which EXPUNGE locks: two sessions of the stand-in must not deadlock each other.
    order by message_idnr desc
    for no key update
)
