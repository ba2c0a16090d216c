-- $1 a user, $2 how many mailboxes he has
insert into dbmail_mailboxes (owner_idnr, name)
select u.user_idnr, 'folder ' || n from dbmail_users u cross join generate_series(1, $2::bigint) n where u.userid = $1
