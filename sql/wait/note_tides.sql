-- Has links look once more at the HIGHESTMODSEQ of mailboxes: a worker that was killed may have forgotten them. $1 mailbox_idnr.
select dbmail_mesh.note('s', i.mailbox_idnr) from unnest($1::bigint[]) i(mailbox_idnr)
