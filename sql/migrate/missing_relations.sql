-- What makes a database dbmail's, as far as this program relies on it: the relations that are not there.
select name
from unnest(array['dbmail_acl', 'dbmail_aliases', 'dbmail_auto_notifications', 'dbmail_auto_replies', 'dbmail_envelope',
                  'dbmail_filters', 'dbmail_header', 'dbmail_headername', 'dbmail_headervalue', 'dbmail_keywords',
                  'dbmail_mailbox_idnr_seq', 'dbmail_mailboxes', 'dbmail_message_idnr_seq', 'dbmail_messages',
                  'dbmail_mimeparts', 'dbmail_partlists', 'dbmail_physmessage', 'dbmail_sievescripts',
                  'dbmail_subscription', 'dbmail_upgrade_steps', 'dbmail_usermap', 'dbmail_users']) as name
where to_regclass('public.' || name) is null
order by name
