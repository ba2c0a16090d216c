insert into dbmail_referencesfield (physmessage_id, referencesfield) values ($1, $2)
