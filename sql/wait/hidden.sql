-- What had come to this node by a moment and is not to be seen yet: messages that wait for a UID or for a place ($2: those as well that
-- are visible under an old UID), and rows that could not be joined, by source. What is kept aside for deleted users waits for nobody.
-- ending: mailboxes and users that are deleted or merged, and whose messages are still being taken out.
-- $1 the moment.
select (select count(*) from dbmail_mesh.late l
        where l.first_seen <= $1 and ($2 or l.row_idnr >= 281474976710656)
          and not exists (select from dbmail_mesh.mailbox_fate f
                          where f.mailbox_idnr = l.mailbox_idnr
                            and not exists (select from dbmail_mesh.line i join public.dbmail_users u on u.user_idnr = i.owner_idnr
                                            where i.mailbox_idnr = l.mailbox_idnr))) as late,
       (select count(*) from dbmail_mesh.mailbox_fate f where f.gone_in is null and f.decided_at <= $1)
         + (select count(*) from dbmail_mesh.account d where d.died_at <= $1 and d.gone_in is null) as ending,
       coalesce(array_agg(a.source_id), '{}') as sources, coalesce(array_agg(a.waiting), '{}') as rows
from (select s.source_id, count(*) as waiting from dbmail_mesh.set_aside s where s.first_seen <= $1 group by s.source_id) a
