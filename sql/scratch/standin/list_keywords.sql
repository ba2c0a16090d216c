select keyword from dbmail_keywords where message_idnr = $1 order by keyword
