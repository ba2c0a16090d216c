-- dbmail-mesh: what a role may see that looks and changes nothing: status, doctor, and all files in sql/inspect.
-- It sees names of users and mailboxes, numbers, times, and the state of links; of mail that is kept for deleted users the sender and the
-- subject. It does not see bodies, headers, passwords or their digests, sieve scripts and replies; so it cannot run "verify", which compares them.
-- "dbmail-mesh migrate rights" prints this with the name filled in, and "migrate up" runs it for every role that has these rights already.
-- By hand, as the owner of schema dbmail_mesh or a superuser, after the install:
--   psql -1 -v ON_ERROR_STOP=1 -v reader=dbmail_mesh_reader -f reader.sql

-- What an earlier version gave, and this one does not.
revoke all on all tables in schema dbmail_mesh from :"reader";
revoke all on all sequences in schema dbmail_mesh from :"reader";
revoke all on all functions in schema dbmail_mesh from :"reader";
revoke all on public.dbmail_mailboxes, public.dbmail_messages, public.dbmail_physmessage, public.dbmail_upgrade_steps, public.dbmail_users,
  public.dbmail_mailbox_idnr_seq, public.dbmail_message_idnr_seq, public.dbmail_physmessage_id_seq from :"reader";

grant usage on schema dbmail_mesh to :"reader";

grant select (user_idnr, userid) on public.dbmail_users to :"reader";
grant select on public.dbmail_mailboxes, public.dbmail_upgrade_steps to :"reader";
grant select (message_idnr) on public.dbmail_messages to :"reader";
grant select (id) on public.dbmail_physmessage to :"reader";
grant select on public.dbmail_mailbox_idnr_seq, public.dbmail_message_idnr_seq, public.dbmail_physmessage_id_seq to :"reader";

-- All of ours but what holds content or credentials: account_state, comparable, entry, incoming_slice, message_digest.
grant select on dbmail_mesh.account, dbmail_mesh.acknowledged, dbmail_mesh.content, dbmail_mesh.cursor, dbmail_mesh.former_incarnation,
  dbmail_mesh.heard, dbmail_mesh.keyword_register, dbmail_mesh.late, dbmail_mesh.line, dbmail_mesh.link_status, dbmail_mesh.local_node,
  dbmail_mesh.mailbox_conflict, dbmail_mesh.mailbox_fate, dbmail_mesh.mailbox_register, dbmail_mesh.message_register, dbmail_mesh.migration,
  dbmail_mesh.moved_reader, dbmail_mesh.number, dbmail_mesh.number_sample, dbmail_mesh.outbox, dbmail_mesh.overtaking, dbmail_mesh.pause,
  dbmail_mesh.peer, dbmail_mesh.presence, dbmail_mesh.reader_elsewhere, dbmail_mesh.reader_sign, dbmail_mesh.renumber_log,
  dbmail_mesh.reservation, dbmail_mesh.set_aside, dbmail_mesh.tombstone, dbmail_mesh.worker to :"reader";
grant select on dbmail_mesh.active_worker, dbmail_mesh.aside, dbmail_mesh.expunges, dbmail_mesh.kept_messages, dbmail_mesh.lag, dbmail_mesh.late_messages, dbmail_mesh.link_progress,
  dbmail_mesh.mailbox_conflicts, dbmail_mesh.members, dbmail_mesh.number_use, dbmail_mesh.outbox_by_peer, dbmail_mesh.renumbers,
  dbmail_mesh.reported_lines, dbmail_mesh.waiting to :"reader";

-- Functions that only read: those for people, and those that the views call.
grant execute on function dbmail_mesh.birth_of, dbmail_mesh.has_come, dbmail_mesh.history, dbmail_mesh.is_gone, dbmail_mesh.mail_events,
  dbmail_mesh.mailbox_of, dbmail_mesh.mailboxes_of_user, dbmail_mesh.mailboxes_renumbered, dbmail_mesh.numbers_in_use, dbmail_mesh.read_until,
  dbmail_mesh.reported_of, dbmail_mesh.resolve, dbmail_mesh.stamped_at, dbmail_mesh.stamped_by, dbmail_mesh.takes_part to :"reader";
