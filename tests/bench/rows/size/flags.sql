-- Messages of a hundred mailboxes, the newest of each, are flagged, or not any more. Set before: bench.messages, bench.count.
begin;
-- Mailbox by mailbox, as dbmail does, on nodes of every size.
set local enable_hashjoin = off;
set local enable_mergejoin = off;
create temp table mail on commit drop as
select g.message_idnr, b.mailbox_idnr
from (select 1001 + n * (current_setting('bench.messages')::bigint / 10000) as mailbox_idnr from generate_series(0, 99) n) b
cross join lateral (select m.message_idnr from dbmail_messages m
                    where m.mailbox_idnr = b.mailbox_idnr and m.message_idnr <= current_setting('bench.messages')::bigint
                    order by m.message_idnr desc limit current_setting('bench.count')::bigint / 100) g;
update dbmail_mailboxes b set seq = seq + 1 where b.mailbox_idnr in (select m.mailbox_idnr from mail m);
update dbmail_messages g set flagged_flag = 1 - g.flagged_flag, seq = b.seq
from mail m join dbmail_mailboxes b using (mailbox_idnr) where g.message_idnr = m.message_idnr;
select pg_current_xact_id();
commit;
