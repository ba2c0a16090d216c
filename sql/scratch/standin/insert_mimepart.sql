insert into dbmail_mimeparts (hash, data, size) values ($1, $3, $2) returning id
