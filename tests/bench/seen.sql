-- Whether clients are shown a message. $1 its unique_id
select from dbmail_messages where unique_id = $1 and status < 2 and message_idnr < 281474976710656
