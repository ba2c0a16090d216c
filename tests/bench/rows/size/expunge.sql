-- The newest messages, those of the last burst of deliveries, are expunged. Set before: bench.count.
begin;
create temp table mail on commit drop as
select g.message_idnr, g.mailbox_idnr from dbmail_messages g where g.message_idnr < 281474976710656 and g.status < 2
order by g.message_idnr desc limit current_setting('bench.count')::bigint;
update dbmail_mailboxes b set seq = seq + 1 where b.mailbox_idnr in (select m.mailbox_idnr from mail m);
update dbmail_messages g set status = 2, seq = b.seq from mail m join dbmail_mailboxes b using (mailbox_idnr) where g.message_idnr = m.message_idnr;
select pg_current_xact_id();
commit;
