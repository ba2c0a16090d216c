select id from dbmail_mimeparts where hash = $1 and size = $2 and data = $3
