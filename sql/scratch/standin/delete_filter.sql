delete from dbmail_filters where user_id = $1 and headername = $2 and headervalue = $3
