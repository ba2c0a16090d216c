-- dbmail-mesh 0022, down. What is paused is paused no more; no worker runs on a node that is taken back.

set local lock_timeout = '250ms';

delete from dbmail_mesh.outbox o where o.kind = 'w';
alter table dbmail_mesh.outbox drop constraint outbox_kind_is_known,
  add constraint outbox_kind_is_known check (kind in ('u', 'b', 'e', 'm', 'n', 's'));
comment on column dbmail_mesh.outbox.kind is 'u: account.id, b: dbmail_mailboxes.mailbox_idnr, e: entry.id, m: dbmail_messages.message_idnr, n: the same, of a message that only got a new MODSEQ, s: dbmail_mailboxes.mailbox_idnr whose HIGHESTMODSEQ went up.';

drop function dbmail_mesh.takes_part();
alter table dbmail_mesh.link_status drop column obeys;
comment on column dbmail_mesh.link_status.state is 'current, working, failing or refused.';
drop table dbmail_mesh.pause;

delete from dbmail_mesh.migration where version = 22;
