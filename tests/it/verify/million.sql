-- Mail for a comparison, behind the triggers' back: the same on each node but for the ids of contents, which are each node's own.
-- Set before: verify.messages how many, verify.first_id what ids of contents begin with.
begin;
set local session_replication_role = replica;
set local synchronous_commit = off;

insert into dbmail_users (user_idnr, userid, passwd)
select 1000 + u, 'user' || u, '' from generate_series(1, 1000) u;
insert into dbmail_mesh.account (born_as, generation, user_idnr)
select 'user' || u, 1, 1000 + u from generate_series(1, 1000) u;
insert into dbmail_mailboxes (mailbox_idnr, owner_idnr, name)
select 1000 + b, 1000 + (b - 1) / 4 + 1, case b % 4 when 1 then 'INBOX' else 'Folder ' || b % 4 end from generate_series(1, 4000) b;
insert into dbmail_mesh.line (mailbox_idnr, owner_idnr, high)
select mailbox_idnr, owner_idnr, 2 * current_setting('verify.messages')::bigint from dbmail_mailboxes where mailbox_idnr > 1000;
insert into dbmail_subscription select owner_idnr, mailbox_idnr from dbmail_mailboxes where mailbox_idnr > 1000;
insert into dbmail_mesh.entry (kind, key)
select 'subscription', jsonb_build_object('account', dbmail_mesh.account_of(s.user_id), 'mailbox', s.mailbox_id) from dbmail_subscription s;

insert into dbmail_physmessage (id, messagesize, rfcsize, internal_date)
select current_setting('verify.first_id')::bigint + i, 1000 + i % 5000, 1020 + i % 5000, timestamp '2026-01-01' + i * interval '1 second'
from generate_series(1, current_setting('verify.messages')::bigint) i;
-- Each has a header and a body of its own; every fourth the same attachment as some others.
insert into dbmail_mimeparts (id, hash, data, size)
select current_setting('verify.first_id')::bigint + 2 * i + k, encode(sha256((i || ' ' || k)::bytea), 'hex'),
       decode(repeat(md5(i || ' ' || k), 20), 'hex'), 320
from generate_series(1, current_setting('verify.messages')::bigint) i cross join generate_series(0, 1) k;
insert into dbmail_mimeparts (id, hash, data, size)
select a, encode(sha256(a::text::bytea), 'hex'), decode(repeat(md5(a::text), 80), 'hex'), 1280 from generate_series(1, 50) a;
insert into dbmail_partlists (physmessage_id, is_header, part_key, part_depth, part_order, part_id)
select current_setting('verify.first_id')::bigint + i, (k = 0)::integer, 1 + k, 0, 0,
       case when k < 2 then current_setting('verify.first_id')::bigint + 2 * i + k else 1 + i % 50 end
from generate_series(1, current_setting('verify.messages')::bigint) i cross join generate_series(0, 2) k
where k < 2 or i % 4 = 0;

-- Mailboxes grow side by side, as they do; one in a hundred messages was renumbered.
insert into dbmail_messages (message_idnr, mailbox_idnr, physmessage_id, seen_flag, flagged_flag, unique_id)
select 2 * i + (i % 100 = 0)::integer, 1001 + i * 7919 % 4000, current_setting('verify.first_id')::bigint + i, (i % 3 > 0)::integer,
       (i % 50 = 0)::integer, md5('id ' || i)
from generate_series(1, current_setting('verify.messages')::bigint) i;
insert into dbmail_mesh.number (uid, birth_uid, decided_by, decided_at)
select 2 * i + 1, 2 * i, 1, now() from generate_series(1, current_setting('verify.messages')::bigint) i where i % 100 = 0;
insert into dbmail_keywords
select 2 * i + (i % 100 = 0)::integer, 'work' from generate_series(1, current_setting('verify.messages')::bigint) i where i % 10 = 0;
commit;
analyze;
