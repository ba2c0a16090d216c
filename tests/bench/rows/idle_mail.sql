-- Mail that every node has, behind the triggers' back. Set before: bench.messages how many, bench.mailboxes in how many mailboxes, of ten
-- to a user.
begin;
set local session_replication_role = replica;
set local synchronous_commit = off;
set local maintenance_work_mem = '256MB';

insert into dbmail_users (user_idnr, userid, passwd)
select 1000 + u, 'user' || u, '' from generate_series(1, (current_setting('bench.mailboxes')::bigint + 9) / 10) u;
insert into dbmail_mesh.account (born_as, generation, user_idnr)
select 'user' || u, 1, 1000 + u from generate_series(1, (current_setting('bench.mailboxes')::bigint + 9) / 10) u;
insert into dbmail_mailboxes (mailbox_idnr, owner_idnr, name)
select 1000 + b, 1000 + (b - 1) / 10 + 1, case b % 10 when 1 then 'INBOX' else 'Folder ' || b % 10 end
from generate_series(1, current_setting('bench.mailboxes')::bigint) b;
insert into dbmail_mesh.line (mailbox_idnr, owner_idnr, high)
select mailbox_idnr, owner_idnr, 2 * current_setting('bench.messages')::bigint from dbmail_mailboxes where mailbox_idnr > 1000;

insert into dbmail_physmessage (id, messagesize, rfcsize, internal_date)
select i, 1000 + i % 5000, 1020 + i % 5000, timestamp '2026-01-01' + i * interval '1 second'
from generate_series(1, current_setting('bench.messages')::bigint) i;
-- One text in a thousand is another: it is not about content.
insert into dbmail_mimeparts (id, hash, data, size)
select a, encode(sha256(a::text::bytea), 'hex'), decode(repeat(md5(a::text), 20), 'hex'), 320 from generate_series(1, 1000) a;
insert into dbmail_partlists (physmessage_id, is_header, part_key, part_depth, part_order, part_id)
select i, 1, 1, 0, 0, 1 + i % 1000 from generate_series(1, current_setting('bench.messages')::bigint) i;
insert into dbmail_messages (message_idnr, mailbox_idnr, physmessage_id, seen_flag, unique_id)
select 2 * i, 1001 + i % current_setting('bench.mailboxes')::bigint, i, (i % 3 > 0)::integer, md5('id ' || i)
from generate_series(1, current_setting('bench.messages')::bigint) i;
select setval('dbmail_physmessage_id_seq', current_setting('bench.messages')::bigint),
       setval('dbmail_mimeparts_id_seq', 1000);
commit;
