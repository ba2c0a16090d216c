-- What a node has of everything: counts that change slowly, and that cost more the more there is. dbmail's tables are asked for their
-- highest keys only, and what is counted are rows of our own, one a conflict or one a change that is under way.
-- renumbers_last_hour walks back from the newest row, for there is no index by time alone; it ends at 100000.
select clock_timestamp() as asked_at,
       (select count(*) from dbmail_mesh.renumber_log) as renumbers_total,
       (select count(*) from (select r.applied_at from dbmail_mesh.renumber_log r order by r.id desc limit 100000) r
        where r.applied_at > statement_timestamp() - interval '1 hour') as renumbers_last_hour,
       (select count(*) from dbmail_mesh.outbox) as outbox_rows,
       pg_total_relation_size('dbmail_mesh.outbox') as outbox_bytes,
       (select count(*) from dbmail_mesh.kept_messages) as kept_messages,
       (select count(*) from dbmail_mesh.reservation) as numbers_reserved,
       (select count(*) from dbmail_mesh.mailbox_conflict c where c.what = 'merged') as mailboxes_merged,
       (select count(*) from dbmail_mesh.mailbox_conflict c where c.what = 'displaced') as mailboxes_displaced,
       (select count(*) from dbmail_mesh.account a join public.dbmail_users o on o.user_idnr = a.user_idnr
        where a.renamed and right(o.userid, length(a.account) + 3) = ' (' || a.account || ')') as accounts_displaced,
       u.uid as uid_highest, u.physmessage_id as physmessage_id_highest, u.mailbox_idnr as mailbox_id_highest,
       (select a.atthasdef from pg_attribute a
        where a.attrelid = 'public.dbmail_messages'::regclass and a.attname = 'message_idnr') as uid_has_default
from dbmail_mesh.numbers_in_use() u
