-- Whether no HIGHESTMODSEQ of a source is above that of the mailbox here.
-- $1 a list of {mailbox, seq}.
select not exists (select
                   from jsonb_to_recordset($1) as t(mailbox bigint, seq bigint)
                   cross join lateral (select from public.dbmail_mailboxes m
                                       where m.mailbox_idnr = t.mailbox and m.seq < t.seq offset 0) m) as is_above
