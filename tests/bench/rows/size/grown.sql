-- A node with mail, as it is before dbmail-mesh is installed: set-based, with the rows that dbmail makes for each message, but small ones.
-- A mailbox, and its owner, for every hundred messages. Set before: bench.messages.
begin;
set local session_replication_role = replica;
set local synchronous_commit = off;
set local maintenance_work_mem = '256MB';

-- Indexes are made at the end, at once, but for those of constraints.
create temp table indexes on commit drop as
select i.indexrelid::regclass as name, pg_get_indexdef(i.indexrelid) as definition
from pg_index i join pg_class c on c.oid = i.indrelid
where c.relnamespace = 'public'::regnamespace and c.relname in ('dbmail_messages', 'dbmail_mimeparts', 'dbmail_partlists', 'dbmail_header',
        'dbmail_headervalue', 'dbmail_envelope')
  and not exists (select from pg_constraint k where k.conindid = i.indexrelid);
do $$
declare i record;
begin
  for i in select * from indexes loop execute format('drop index %s', i.name); end loop;
end
$$;

insert into dbmail_users (user_idnr, userid, passwd)
select 1000 + n, 'user' || n, '' from generate_series(1, current_setting('bench.messages')::bigint / 100) n;
insert into dbmail_mailboxes (mailbox_idnr, owner_idnr, name)
select 1000 + n, 1000 + n, 'INBOX' from generate_series(1, current_setting('bench.messages')::bigint / 100) n;

insert into dbmail_physmessage (id, messagesize, rfcsize, internal_date)
select n, 640, 660, timestamp '2026-01-01' + n * interval '1 second' from generate_series(1, current_setting('bench.messages')::bigint) n;
-- A header and a body.
insert into dbmail_mimeparts (id, hash, data, size)
select 2 * n + k, encode(sha256((n || ' ' || k)::bytea), 'hex'), decode(repeat(md5(n || ' ' || k), 20), 'hex'), 320
from generate_series(1, current_setting('bench.messages')::bigint) n cross join generate_series(0, 1) k;
insert into dbmail_partlists (physmessage_id, is_header, part_key, part_depth, part_order, part_id)
select n, 1 - k, 1 + k, 0, 0, 2 * n + k
from generate_series(1, current_setting('bench.messages')::bigint) n cross join generate_series(0, 1) k;
-- Message-ID and Subject are its own; From and To are one of some hundred.
insert into dbmail_headername (id, headername) values (1, 'message-id'), (2, 'subject'), (3, 'from'), (4, 'to');
insert into dbmail_headervalue (id, hash, headervalue, sortfield)
select n, encode(sha256(n::text::bytea), 'hex'), 'person' || n || '@example.org', 'person' || n from generate_series(1, 500) n;
insert into dbmail_headervalue (id, hash, headervalue, sortfield)
select 1000 + 2 * n + k, encode(sha256((n || ' value ' || k)::bytea), 'hex'), 'value ' || k || ' of message ' || n, 'value ' || k || ' of ' || n
from generate_series(1, current_setting('bench.messages')::bigint) n cross join generate_series(0, 1) k;
insert into dbmail_header (physmessage_id, headername_id, headervalue_id)
select n, k, case when k <= 2 then 1000 + 2 * n + k - 1 else 1 + n * k % 500 end
from generate_series(1, current_setting('bench.messages')::bigint) n cross join generate_series(1, 4) k;
insert into dbmail_envelope (physmessage_id, envelope)
select n, '("1 Jan 2026 00:00:00 +0000" "matter ' || n || '" NIL NIL NIL NIL NIL NIL NIL "<' || md5(n::text) || '>")'
from generate_series(1, current_setting('bench.messages')::bigint) n;

-- Mailboxes grow side by side.
insert into dbmail_messages (message_idnr, mailbox_idnr, physmessage_id, seen_flag, unique_id, seq)
select n, 1001 + n * 7919 % (current_setting('bench.messages')::bigint / 100), n, (n % 3 > 0)::integer, md5('id ' || n), 1 + n / 1000
from generate_series(1, current_setting('bench.messages')::bigint) n;
update dbmail_mailboxes set seq = 2 + current_setting('bench.messages')::bigint / 1000 where mailbox_idnr > 1000;
update dbmail_users u set curmail_size = s.bytes
from (select m.owner_idnr, sum(p.messagesize) as bytes
      from dbmail_messages g join dbmail_physmessage p on p.id = g.physmessage_id join dbmail_mailboxes m using (mailbox_idnr)
      group by m.owner_idnr) s
where s.owner_idnr = u.user_idnr;

do $$
declare i record;
begin
  for i in select * from indexes loop execute i.definition; end loop;
end
$$;
select setval('dbmail_user_idnr_seq', 1000 + current_setting('bench.messages')::bigint / 100),
       setval('dbmail_mailbox_idnr_seq', 1000 + current_setting('bench.messages')::bigint / 100),
       setval('dbmail_message_idnr_seq', current_setting('bench.messages')::bigint),
       setval('dbmail_physmessage_id_seq', current_setting('bench.messages')::bigint),
       setval('dbmail_mimeparts_id_seq', 2 * current_setting('bench.messages')::bigint + 1),
       setval('dbmail_headername_id_seq', 4),
       setval('dbmail_headervalue_id_seq', 1001 + 2 * current_setting('bench.messages')::bigint);
commit;
