-- $1 birth UIDs.
select m.mailbox_idnr from dbmail_mesh.mailboxes_of($1::bigint[]) m(mailbox_idnr)
