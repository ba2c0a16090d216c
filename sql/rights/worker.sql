-- dbmail-mesh: what the worker's role may do, and no more. A test takes away each of these rights in turn and finds a statement that fails.
-- "dbmail-mesh migrate rights" prints this with the name filled in, and "migrate up" runs it for every role that has these rights already.
-- By hand, as the owner of schema dbmail_mesh or a superuser, after the install:
--   psql -1 -v ON_ERROR_STOP=1 -v worker=dbmail_mesh -f worker.sql
-- What the worker changes of dbmail's it changes by functions, which run with their owner's rights; of dbmail's tables it adds rows to three
-- by itself. It can read all mail: it carries it to the other nodes.

-- What an earlier version gave, and this one does not need.
revoke all on all tables in schema dbmail_mesh from :"worker";
revoke all on all sequences in schema dbmail_mesh from :"worker";
revoke all on all functions in schema dbmail_mesh from :"worker";
revoke all on public.dbmail_acl, public.dbmail_aliases, public.dbmail_auto_notifications, public.dbmail_auto_replies, public.dbmail_envelope,
  public.dbmail_filters, public.dbmail_header, public.dbmail_headername, public.dbmail_headervalue, public.dbmail_keywords,
  public.dbmail_mailboxes, public.dbmail_messageblks, public.dbmail_messages, public.dbmail_mimeparts, public.dbmail_partlists,
  public.dbmail_physmessage, public.dbmail_referencesfield, public.dbmail_sievescripts, public.dbmail_subscription,
  public.dbmail_upgrade_steps, public.dbmail_usermap, public.dbmail_users from :"worker";
revoke all on public.dbmail_envelope_idnr_seq, public.dbmail_headername_id_seq, public.dbmail_mailbox_idnr_seq,
  public.dbmail_message_idnr_seq, public.dbmail_physmessage_id_seq, public.dbmail_referencesfield_idnr_seq from :"worker";

grant usage on schema dbmail_mesh to :"worker";

-- dbmail's: mail is read here for the other nodes.
grant select on public.dbmail_header, public.dbmail_headervalue, public.dbmail_keywords, public.dbmail_mailboxes,
  public.dbmail_messageblks, public.dbmail_messages, public.dbmail_mimeparts, public.dbmail_partlists, public.dbmail_physmessage,
  public.dbmail_upgrade_steps, public.dbmail_users to :"worker";
-- Content that came from another node.
grant select, insert on public.dbmail_envelope, public.dbmail_headername, public.dbmail_referencesfield to :"worker";
grant usage on public.dbmail_envelope_idnr_seq, public.dbmail_headername_id_seq, public.dbmail_referencesfield_idnr_seq to :"worker";
-- How far numbers are used up.
grant select on public.dbmail_mailbox_idnr_seq, public.dbmail_message_idnr_seq, public.dbmail_physmessage_id_seq to :"worker";

-- Our own tables, as far as no function stands before them.
grant select on dbmail_mesh.account, dbmail_mesh.account_state, dbmail_mesh.active_worker, dbmail_mesh.aside, dbmail_mesh.comparable, dbmail_mesh.entry, dbmail_mesh.former_incarnation,
  dbmail_mesh.kept_messages, dbmail_mesh.late_messages, dbmail_mesh.line, dbmail_mesh.mailbox_conflict, dbmail_mesh.mailbox_fate,
  dbmail_mesh.mailbox_register, dbmail_mesh.message_digest, dbmail_mesh.migration, dbmail_mesh.number, dbmail_mesh.number_sample,
  dbmail_mesh.overtaking, dbmail_mesh.presence, dbmail_mesh.renumber_log, dbmail_mesh.reservation, dbmail_mesh.tombstone to :"worker";
grant select, update on dbmail_mesh.local_node to :"worker";
grant select, delete on dbmail_mesh.late to :"worker";
grant insert on dbmail_mesh.incoming_slice to :"worker";
grant select, insert on dbmail_mesh.content, dbmail_mesh.outbox to :"worker";
grant select, insert, update on dbmail_mesh.acknowledged, dbmail_mesh.cursor, dbmail_mesh.heard, dbmail_mesh.link_status, dbmail_mesh.moved_reader,
  dbmail_mesh.peer to :"worker";
grant select, insert, update, delete on dbmail_mesh.pause, dbmail_mesh.set_aside to :"worker";

-- The functions that it calls. Those that these call need no right.
grant execute on function dbmail_mesh.account_of, dbmail_mesh.admit_program, dbmail_mesh.bear_again, dbmail_mesh.become, dbmail_mesh.begin_term, dbmail_mesh.birth_of,
  dbmail_mesh.body_digest, dbmail_mesh.come_back, dbmail_mesh.covers, dbmail_mesh.dismiss, dbmail_mesh.doomed, dbmail_mesh.entry_of, dbmail_mesh.fence,
  dbmail_mesh.find_content, dbmail_mesh.forget_changes, dbmail_mesh.forget_death, dbmail_mesh.forget_peer, dbmail_mesh.forget_progress,
  dbmail_mesh.forget_signs, dbmail_mesh.found_again, dbmail_mesh.guard, dbmail_mesh.had_tops, dbmail_mesh.has_all_of,
  dbmail_mesh.has_gone_back, dbmail_mesh.highest_known, dbmail_mesh.hold_term, dbmail_mesh.in_delivery, dbmail_mesh.is_born_as, dbmail_mesh.is_gone,
  dbmail_mesh.is_mere_name, dbmail_mesh.keep_content, dbmail_mesh.keep_up, dbmail_mesh.lock_accounts, dbmail_mesh.lock_and_view,
  dbmail_mesh.mailboxes_of, dbmail_mesh.messages_of_doomed, dbmail_mesh.moved_readers, dbmail_mesh.next_uid, dbmail_mesh.note,
  dbmail_mesh.numbers_in_use, dbmail_mesh.passed_by, dbmail_mesh.passed_messages, dbmail_mesh.places_of, dbmail_mesh.purge_outbox,
  dbmail_mesh.queue_visible, dbmail_mesh.readdress, dbmail_mesh.readmit, dbmail_mesh.refresh_statistics, dbmail_mesh.remove_account,
  dbmail_mesh.remove_mailbox, dbmail_mesh.reserve, dbmail_mesh.restamp_entry, dbmail_mesh.resume_checks, dbmail_mesh.restamp_place, dbmail_mesh.retry, dbmail_mesh.ring,
  dbmail_mesh.sample_numbers, dbmail_mesh.seek_term, dbmail_mesh.set_presence, dbmail_mesh.settle, dbmail_mesh.spare_checks, dbmail_mesh.stay_out, dbmail_mesh.store_headers, dbmail_mesh.store_parts,
  dbmail_mesh.store_physmessages, dbmail_mesh.store_sliced_part, dbmail_mesh.sweep_overtaking, dbmail_mesh.takes_part,
  dbmail_mesh.unacknowledged, dbmail_mesh.user_of, dbmail_mesh.view_accounts, dbmail_mesh.view_entries, dbmail_mesh.view_held, dbmail_mesh.view_messages, dbmail_mesh.view_states,
  dbmail_mesh.write_accounts, dbmail_mesh.write_entries, dbmail_mesh.write_mailboxes, dbmail_mesh.write_plan, dbmail_mesh.write_readers
  to :"worker";
