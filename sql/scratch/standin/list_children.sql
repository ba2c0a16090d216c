-- Letter case is ignored, as in dbmail; the order is the one in which dbmail comes to rename them.
select child.mailbox_idnr, child.name
from dbmail_mailboxes as child
join dbmail_mailboxes as parent on parent.owner_idnr = child.owner_idnr
where parent.mailbox_idnr = $1 and starts_with(lower(child.name), lower(parent.name) || '/')
order by child.mailbox_idnr desc
