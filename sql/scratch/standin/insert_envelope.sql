insert into dbmail_envelope (physmessage_id, envelope) values ($1, $2)
