-- The highest numbers in use. Numbers above 2^48 belong to rows that no client is ever shown. Both maxima come
-- backwards through the primary key.
select greatest((select case when is_called then last_value else last_value - 1 end from public.dbmail_message_idnr_seq),
                (select max(message_idnr) from public.dbmail_messages where message_idnr < 281474976710656), 0) as uid,
       greatest((select case when is_called then last_value else last_value - 1 end from public.dbmail_mailbox_idnr_seq),
                (select max(mailbox_idnr) from public.dbmail_mailboxes), 0) as mailbox
