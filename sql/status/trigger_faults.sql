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
             ('dbmail_messages', '_910_dbmail_mesh_moved'),
             ('dbmail_messages', '_100_dbmail_mesh_revived'),
             ('dbmail_messages', '_900_dbmail_mesh_revived'),
             ('dbmail_keywords', '_900_dbmail_mesh_added'),
             ('dbmail_keywords', '_900_dbmail_mesh_removed'),
             ('dbmail_mailboxes', '_900_dbmail_mesh_new'),
             ('dbmail_mailboxes', '_900_dbmail_mesh_seq'),
             ('dbmail_mailboxes', '_900_dbmail_mesh_changed'),
             ('dbmail_mailboxes', '_900_dbmail_mesh_deleted'),
             ('dbmail_users', '_900_dbmail_mesh_new'),
             ('dbmail_users', '_900_dbmail_mesh_changed'),
             ('dbmail_users', '_900_dbmail_mesh_deleted'),
             ('dbmail_aliases', '_900_dbmail_mesh_entry'),
             ('dbmail_usermap', '_900_dbmail_mesh_entry'),
             ('dbmail_subscription', '_900_dbmail_mesh_entry'),
             ('dbmail_acl', '_900_dbmail_mesh_entry'),
             ('dbmail_sievescripts', '_900_dbmail_mesh_entry'),
             ('dbmail_sievescripts', '_910_dbmail_mesh_active'),
             ('dbmail_filters', '_900_dbmail_mesh_entry'),
             ('dbmail_auto_replies', '_900_dbmail_mesh_entry'),
             ('dbmail_auto_notifications', '_900_dbmail_mesh_entry')) e(relation, name)
left join pg_trigger t on t.tgrelid = to_regclass('public.' || e.relation) and t.tgname = e.name and not t.tgisinternal
where t.oid is null or t.tgenabled not in ('O', 'A')
order by e.relation, e.name
