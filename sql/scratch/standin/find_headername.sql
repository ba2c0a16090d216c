select id from dbmail_headername where lower(headername) = lower($1)
