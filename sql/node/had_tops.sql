-- $1 birth UIDs that another node lacks, $2 mailboxes.
select h.mailbox_idnr, h.top from dbmail_mesh.had_tops($1::bigint[], $2::bigint[]) h
