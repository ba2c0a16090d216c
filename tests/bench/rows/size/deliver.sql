-- A burst of deliveries that is there at once: the rows that dbmail makes for each, set-based. A hundred mailboxes share them, however many
-- there are. Set before: bench.messages, bench.first, the number of the first, and bench.count.
begin;
create temp table mail on commit drop as
select n, 1001 + n % 100 * (current_setting('bench.messages')::bigint / 10000) as mailbox_idnr, nextval('dbmail_physmessage_id_seq') as id, nextval('dbmail_mimeparts_id_seq') as header,
       nextval('dbmail_mimeparts_id_seq') as body, nextval('dbmail_headervalue_id_seq') as message_id,
       nextval('dbmail_headervalue_id_seq') as subject
from generate_series(current_setting('bench.first')::bigint, current_setting('bench.first')::bigint + current_setting('bench.count')::bigint - 1) n;
insert into dbmail_physmessage (id, messagesize, rfcsize, internal_date) select id, 640, 660, now()::timestamp from mail;
insert into dbmail_mimeparts (id, hash, data, size)
select p.id, encode(sha256(('burst ' || m.n || ' ' || p.id)::bytea), 'hex'), decode(repeat(md5('burst ' || m.n || ' ' || p.id), 20), 'hex'), 320
from mail m cross join lateral (values (m.header), (m.body)) p(id);
insert into dbmail_partlists (physmessage_id, is_header, part_key, part_depth, part_order, part_id)
select id, 1, 1, 0, 0, header from mail union all select id, 0, 2, 0, 0, body from mail;
insert into dbmail_headervalue (id, hash, headervalue, sortfield)
select v.id, encode(sha256(('burst ' || m.n || ' ' || v.id)::bytea), 'hex'), v.value, v.value
from mail m cross join lateral (values (m.message_id, 'id of burst ' || m.n), (m.subject, 'subject of burst ' || m.n)) v(id, value);
insert into dbmail_header (physmessage_id, headername_id, headervalue_id)
select id, 1, message_id from mail union all select id, 2, subject from mail
union all select id, k, 1 + n * k % 500 from mail cross join generate_series(3, 4) k;
insert into dbmail_envelope (physmessage_id, envelope)
select id, '("1 Jan 2026 00:00:00 +0000" "burst ' || n || '" NIL NIL NIL NIL NIL NIL NIL "<' || md5(n::text) || '>")' from mail;
-- Once for each message, as dbmail does.
update dbmail_mailboxes b set seq = b.seq + m.messages
from (select mailbox_idnr, count(*) as messages from mail group by mailbox_idnr) m where m.mailbox_idnr = b.mailbox_idnr;
insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, seq)
select m.mailbox_idnr, m.id, md5('burst ' || m.n), b.seq + 1 - row_number() over (partition by m.mailbox_idnr order by m.n desc)
from mail m join dbmail_mailboxes b using (mailbox_idnr) order by m.n;
select pg_current_xact_id();
commit;
