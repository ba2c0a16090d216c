-- Which of our triggers are not at work: missing, or disabled (also when they would fire on a replica only).
select e.relation, e.name, t.oid is null as missing
from (values ('dbmail_messages', '_100_dbmail_mesh_number'),
             ('dbmail_messages', '_900_dbmail_mesh_new'),
             ('dbmail_messages', '_900_dbmail_mesh_expunged'),
             ('dbmail_messages', '_900_dbmail_mesh_deleted'),
             ('dbmail_messages', '_900_dbmail_mesh_flags'),
             ('dbmail_messages', '_100_dbmail_mesh_modseq'),
             ('dbmail_messages', '_100_dbmail_mesh_moved'),
             ('dbmail_messages', '_900_dbmail_mesh_moved'),
             ('dbmail_messages', '_100_dbmail_mesh_revived'),
             ('dbmail_messages', '_900_dbmail_mesh_revived'),
             ('dbmail_keywords', '_900_dbmail_mesh_added'),
             ('dbmail_keywords', '_900_dbmail_mesh_removed'),
             ('dbmail_mailboxes', '_900_dbmail_mesh_new'),
             ('dbmail_mailboxes', '_900_dbmail_mesh_seq'),
             ('dbmail_users', '_900_dbmail_mesh_new')) e(relation, name)
left join pg_trigger t on t.tgrelid = to_regclass('public.' || e.relation) and t.tgname = e.name and not t.tgisinternal
where t.oid is null or t.tgenabled not in ('O', 'A')
order by e.relation, e.name
