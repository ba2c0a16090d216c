-- dbmail-mesh 0010: a message's flags, keywords and mailbox are registers, each with a stamp of its own.
--
-- The values are in dbmail's own tables; here are the stamps, of those messages that have changed since they came into being. The
-- triggers lock nothing that dbmail has not locked before them: a message's registers are written under its row's lock.

set local lock_timeout = '250ms';

create table dbmail_mesh.message_register (
  birth_uid bigint primary key,
  seen bigint not null default 0,
  answered bigint not null default 0,
  deleted bigint not null default 0,
  flagged bigint not null default 0,
  draft bigint not null default 0,
  place bigint not null default 0,
  seq bigint not null default 0
) with (fillfactor = 80);
comment on table dbmail_mesh.message_register is 'Stamps (see next_stamp) of messages whose flags or mailbox have changed; 0: never.';
comment on column dbmail_mesh.message_register.birth_uid is 'The message: its first UID.';
comment on column dbmail_mesh.message_register.seen is 'Of dbmail_messages.seen_flag.';
comment on column dbmail_mesh.message_register.answered is 'Of answered_flag.';
comment on column dbmail_mesh.message_register.deleted is 'Of deleted_flag.';
comment on column dbmail_mesh.message_register.flagged is 'Of flagged_flag.';
comment on column dbmail_mesh.message_register.draft is 'Of draft_flag.';
comment on column dbmail_mesh.message_register.place is 'Of mailbox_idnr: when it was moved.';
comment on column dbmail_mesh.message_register.seq is 'No stamp, but a MODSEQ: of the last change of flags that was made here, or one that this node gave the message because clients may have passed that of the change. Each node that has this state gives the message at least this. 0: never.';

create table dbmail_mesh.keyword_register (
  birth_uid bigint not null,
  keyword text not null,
  stamp bigint not null,
  present boolean not null,
  removed_in xid8,
  stamp_before bigint not null default 0,
  constraint keyword_register_pkey primary key (birth_uid, keyword)
);
comment on table dbmail_mesh.keyword_register is 'Keywords that were added to a message, or removed from it, after it came into being.';
comment on column dbmail_mesh.keyword_register.birth_uid is 'The message: its first UID.';
comment on column dbmail_mesh.keyword_register.keyword is 'The keyword.';
comment on column dbmail_mesh.keyword_register.stamp is 'When it was last added or removed.';
comment on column dbmail_mesh.keyword_register.present is 'Whether it is there.';
comment on column dbmail_mesh.keyword_register.removed_in is 'The transaction that removed it: if the same one adds it again, as dbmail''s STORE does, nothing has happened.';
comment on column dbmail_mesh.keyword_register.stamp_before is 'The stamp before that removal.';

create function dbmail_mesh.capture_flags() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  fresh bigint := dbmail_mesh.next_stamp(0);
begin
  insert into dbmail_mesh.message_register as r (birth_uid, seen, answered, deleted, flagged, draft, seq)
  values (dbmail_mesh.birth_of(new.message_idnr),
          case when new.seen_flag <> old.seen_flag then fresh else 0 end,
          case when new.answered_flag <> old.answered_flag then fresh else 0 end,
          case when new.deleted_flag <> old.deleted_flag then fresh else 0 end,
          case when new.flagged_flag <> old.flagged_flag then fresh else 0 end,
          case when new.draft_flag <> old.draft_flag then fresh else 0 end,
          new.seq)
  on conflict (birth_uid) do update
  set seen = case when excluded.seen > 0 then dbmail_mesh.next_stamp(r.seen) else r.seen end,
      answered = case when excluded.answered > 0 then dbmail_mesh.next_stamp(r.answered) else r.answered end,
      deleted = case when excluded.deleted > 0 then dbmail_mesh.next_stamp(r.deleted) else r.deleted end,
      flagged = case when excluded.flagged > 0 then dbmail_mesh.next_stamp(r.flagged) else r.flagged end,
      draft = case when excluded.draft > 0 then dbmail_mesh.next_stamp(r.draft) else r.draft end,
      seq = greatest(r.seq, excluded.seq);
  perform dbmail_mesh.note('m', new.message_idnr);
  return null;
end
$$;
comment on function dbmail_mesh.capture_flags is 'Stamps the flags that have changed, keeps the message''s MODSEQ, and notes the message.';

create function dbmail_mesh.capture_keyword_added() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.keyword_register as r (birth_uid, keyword, stamp, present)
  values (dbmail_mesh.birth_of(new.message_idnr), new.keyword, dbmail_mesh.next_stamp(0), true)
  on conflict on constraint keyword_register_pkey do update
  set stamp = case when r.removed_in = pg_current_xact_id() then r.stamp_before else dbmail_mesh.next_stamp(r.stamp) end,
      present = true, removed_in = null;
  perform dbmail_mesh.note('m', new.message_idnr);
  return null;
end
$$;
comment on function dbmail_mesh.capture_keyword_added is 'Stamps a keyword that was added, and notes the message.';

create function dbmail_mesh.capture_keyword_removed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- A message that is being purged takes its keywords along: that says nothing.
  if not exists (select from public.dbmail_messages g where g.message_idnr = old.message_idnr and g.status < 2) then
    return null;
  end if;
  insert into dbmail_mesh.keyword_register as r (birth_uid, keyword, stamp, present, removed_in)
  values (dbmail_mesh.birth_of(old.message_idnr), old.keyword, dbmail_mesh.next_stamp(0), false, pg_current_xact_id())
  on conflict on constraint keyword_register_pkey do update
  set stamp = dbmail_mesh.next_stamp(r.stamp), present = false, removed_in = excluded.removed_in, stamp_before = r.stamp;
  perform dbmail_mesh.note('m', old.message_idnr);
  return null;
end
$$;
comment on function dbmail_mesh.capture_keyword_removed is 'Stamps a keyword that was removed, and notes the message.';

create trigger _900_dbmail_mesh_flags
  after update of seen_flag, answered_flag, deleted_flag, flagged_flag, draft_flag on public.dbmail_messages
  for each row when ((old.seen_flag, old.answered_flag, old.deleted_flag, old.flagged_flag, old.draft_flag)
                     is distinct from (new.seen_flag, new.answered_flag, new.deleted_flag, new.flagged_flag, new.draft_flag)
                     and new.status < 2 and new.message_idnr < 281474976710656
                     and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_flags();
comment on trigger _900_dbmail_mesh_flags on public.dbmail_messages is 'Notes changed flags for the peers.';

create trigger _900_dbmail_mesh_added after insert on public.dbmail_keywords
  for each row when (new.message_idnr < 281474976710656 and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_keyword_added();
comment on trigger _900_dbmail_mesh_added on public.dbmail_keywords is 'Notes a new keyword for the peers.';

create trigger _900_dbmail_mesh_removed after delete on public.dbmail_keywords
  for each row when (old.message_idnr < 281474976710656 and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_keyword_removed();
comment on trigger _900_dbmail_mesh_removed on public.dbmail_keywords is 'Notes a removed keyword for the peers.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (10, 'marks');
