select id from dbmail_headervalue where hash = $1 and headervalue = $2
