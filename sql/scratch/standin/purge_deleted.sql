delete from dbmail_messages
where message_idnr in (
    select message_idnr
    from dbmail_messages
    where status = 3
    -- The order in which EXPUNGE locks: two sessions of the stand-in must not deadlock each other.
    order by message_idnr desc
    for update
)
