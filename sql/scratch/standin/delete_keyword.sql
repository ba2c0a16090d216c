delete from dbmail_keywords where message_idnr = $1 and keyword = $2
