select userid from dbmail_users order by userid
