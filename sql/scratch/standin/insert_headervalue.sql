insert into dbmail_headervalue (hash, headervalue, sortfield, datefield) values ($1, $2, $3, $4) returning id
