-- Letter case is ignored, as in dbmail.
select exists (
    select from dbmail_mailboxes as child
    join dbmail_mailboxes as parent on parent.owner_idnr = child.owner_idnr
    where parent.mailbox_idnr = $1 and starts_with(lower(child.name), lower(parent.name) || '/')
)
