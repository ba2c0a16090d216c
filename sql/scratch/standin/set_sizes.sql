update dbmail_physmessage set messagesize = $2, rfcsize = $3 where id = $1
