-- dbmail-mesh 0012: the worker's side of marks (flags and keywords) and of messages that change their mailbox.
--
-- What is to be written is decided by the worker's pure code. The writes are monotonic all the same: a register is only ever overwritten
-- by a later stamp, so that what dbmail changes between the look and the write is not lost.

set local lock_timeout = '250ms';

create function dbmail_mesh.view_states(births bigint[])
returns table (birth_uid bigint, state "char", uid bigint, row_idnr bigint, mailbox_idnr bigint, row_mailbox bigint, flags smallint[],
               stamps bigint[], keywords jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select v.birth_uid, v.state, v.uid, v.row_idnr, v.mailbox_idnr, g.mailbox_idnr,
         array[g.seen_flag, g.answered_flag, g.deleted_flag, g.flagged_flag, g.draft_flag],
         array[coalesce(r.seen, 0), coalesce(r.answered, 0), coalesce(r.deleted, 0), coalesce(r.flagged, 0), coalesce(r.draft, 0),
               coalesce(r.place, 0), coalesce(r.seq, 0), coalesce(g.seq, 0)],
         coalesce(k.keywords, '{}'::jsonb)
  from dbmail_mesh.view_messages(births) v
  left join public.dbmail_messages g on g.message_idnr = v.row_idnr
  left join dbmail_mesh.message_register r on r.birth_uid = v.birth_uid
  left join lateral (
    select jsonb_object_agg(e.keyword, jsonb_build_array(e.stamp, e.present)) as keywords
    from (select coalesce(w.keyword::text, c.keyword) as keyword, coalesce(c.stamp, 0) as stamp, w.keyword is not null as present
          from (select w.keyword from public.dbmail_keywords w where w.message_idnr = v.row_idnr) w
          full join (select c.keyword, c.stamp from dbmail_mesh.keyword_register c where c.birth_uid = v.birth_uid) c
            on c.keyword = w.keyword::text) e
  ) k on true
$$;
comment on function dbmail_mesh.view_states is 'As view_messages, with the registers: five flags in the order of message_register; their stamps, that of the mailbox, then two MODSEQs: that of message_register, and the row''s; keywords as {keyword: [stamp, present]}; and the mailbox in which the row itself is.';

drop function dbmail_mesh.lock_and_view(bigint[], bigint[]);
create function dbmail_mesh.lock_and_view(mailboxes bigint[], births bigint[])
returns table (id bigint, state "char", uid bigint, row_idnr bigint, mailbox_idnr bigint, row_mailbox bigint, flags smallint[],
               stamps bigint[], keywords jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.dbmail_mailboxes m where m.mailbox_idnr = any (mailboxes) order by m.mailbox_idnr for key share;
  perform from dbmail_mesh.line l where l.mailbox_idnr = any (mailboxes) order by l.mailbox_idnr for no key update;
  -- Statements of their own: their snapshots are newer than the locks.
  return query
    select l.mailbox_idnr, 'l'::"char",
           greatest(l.high, (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = l.mailbox_idnr)),
           null::bigint, l.mailbox_idnr, null::bigint, null::smallint[], null::bigint[], null::jsonb
    from dbmail_mesh.line l join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
    where l.mailbox_idnr = any (mailboxes)
      and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = l.mailbox_idnr);
  return query
    select v.birth_uid, v.state, v.uid, v.row_idnr, v.mailbox_idnr, v.row_mailbox, v.flags, v.stamps, v.keywords
    from dbmail_mesh.view_states(births) v;
end
$$;
comment on function dbmail_mesh.lock_and_view is 'Locks mailboxes and their lines, and tells the lines (state l: id is the mailbox, uid its high line) and what is known of the messages (as view_states). A mailbox that is gone, or about to go, has no line.';

create or replace function dbmail_mesh.write_plan(plan jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  touched bigint[];
  died bigint[];
  shown bigint[];
  crossed bigint[];
  source smallint := (plan ->> 'origin')::smallint;
begin
  touched := dbmail_mesh.touched_by(plan);
  crossed := dbmail_mesh.raise_seq(plan, touched);
  perform dbmail_mesh.lock_planned_rows(plan -> 'rows');

  -- Ascending, as everywhere; a number belongs to one message for ever.
  insert into dbmail_mesh.number (uid, birth_uid, decided_by, decided_at)
  select e.uid, e.birth, e.decided_by, e.decided_at
  from jsonb_to_recordset(plan -> 'numbers') as e(uid bigint, birth bigint, decided_by smallint, decided_at timestamptz)
  order by e.uid
  on conflict do nothing;
  if exists (select from (select birth, uid from jsonb_to_recordset(plan -> 'take') as e(birth bigint, uid bigint)
                          union all select birth, uid from jsonb_to_recordset(plan -> 'move') as e(birth bigint, uid bigint)) e
             where e.uid <> e.birth
               and not exists (select from dbmail_mesh.number n where n.uid = e.uid and n.birth_uid = e.birth)) then
    raise exception 'a message was to get a number of which nothing is known'
      using hint = 'Nothing was written. This is a defect of dbmail-mesh: please report it.';
  end if;

  died := dbmail_mesh.write_kills(plan -> 'kill') || dbmail_mesh.write_stows(plan -> 'stow');
  shown := dbmail_mesh.write_moves(plan -> 'move') || dbmail_mesh.write_takes(plan -> 'take');
  perform dbmail_mesh.write_hides(plan -> 'hide');
  perform dbmail_mesh.write_waits(plan -> 'wait');
  -- All whose marks or MODSEQ change, in one go: ascending.
  perform from public.dbmail_messages g
  where g.message_idnr in (select e.now_idnr from jsonb_to_recordset(plan -> 'modseq') as e(now_idnr bigint)
                           union all select e.row_idnr from jsonb_to_recordset(plan -> 'passed') as e(row_idnr bigint))
  order by g.message_idnr for no key update;
  perform dbmail_mesh.write_marks(plan -> 'mark', plan -> 'mark_keywords');
  perform dbmail_mesh.write_modseqs(plan -> 'modseq', crossed);
  perform dbmail_mesh.write_registers(plan -> 'registers', plan -> 'keyword_registers', plan -> 'rescued');

  update dbmail_mesh.line l set high = greatest(l.high, e.high)
  from (select e.mailbox, max(e.uid) as high
        from (select mailbox, uid from jsonb_to_recordset(plan -> 'take') as e(mailbox bigint, uid bigint)
              union all select mailbox, uid from jsonb_to_recordset(plan -> 'move') as e(mailbox bigint, uid bigint)) e
        group by e.mailbox) e
  where l.mailbox_idnr = e.mailbox and l.high < e.high;

  perform dbmail_mesh.note_plan(plan, source);
  perform dbmail_mesh.write_tides(plan, touched);
  perform dbmail_mesh.write_sizes(shown, died);
  if (plan ->> 'steps_back')::boolean and plan ? 'move' and dbmail_mesh.is_waited_for() then
    raise exception 'a session waits for a message that was to be renumbered'
      using errcode = 'lock_not_available', hint = 'It goes first; the renumber is tried again.';
  end if;
end
$$;

-- A row that dbmail moves meanwhile may have another number by now: what is written for the old one would match nothing, but its
-- tombstone or its stamps would say that it was written.
create function dbmail_mesh.lock_planned_rows(rows jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if rows is null then
    return;
  end if;
  perform from public.dbmail_messages g
  where g.message_idnr in (select e.row_idnr from jsonb_to_recordset(rows) as e(row_idnr bigint))
  order by g.message_idnr for no key update;
  -- A statement of its own: its snapshot is newer than the locks.
  if exists (select from jsonb_to_recordset(rows) as e(row_idnr bigint, row_mailbox bigint)
             left join public.dbmail_messages g on g.message_idnr = e.row_idnr
             where g.message_idnr is null or (g.mailbox_idnr <> e.row_mailbox and g.status < 2)) then
    raise exception 'a message was moved or removed by dbmail meanwhile'
      using errcode = 'serialization_failure', hint = 'It is looked at again.';
  end if;
end
$$;
comment on function dbmail_mesh.lock_planned_rows is 'Part of write_plan: locks the rows that it writes to, and refuses a plan that was made for rows which are elsewhere by now.';

create function dbmail_mesh.touched_by(plan jsonb) returns bigint[]
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select array_agg(distinct t.mailbox order by t.mailbox)
  from (select e.mailbox from jsonb_to_recordset(plan -> 'take') as e(mailbox bigint)
        union all select e.mailbox from jsonb_to_recordset(plan -> 'move') as e(mailbox bigint)
        union all
        select g.mailbox_idnr
        from (select e.row_idnr from jsonb_to_recordset(plan -> 'kill') as e(row_idnr bigint)
              union all select e.row_idnr from jsonb_to_recordset(plan -> 'move') as e(row_idnr bigint)
              union all select e.row_idnr from jsonb_to_recordset(plan -> 'stow') as e(row_idnr bigint)
              union all select e.row_idnr from jsonb_to_recordset(plan -> 'mark') as e(row_idnr bigint)
              union all select e.row_idnr from jsonb_to_recordset(plan -> 'mark_keywords') as e(row_idnr bigint)
              union all select e.row_idnr from jsonb_to_recordset(plan -> 'modseq') as e(row_idnr bigint, promised bigint)
                        where e.promised is not null) e
        join public.dbmail_messages g on g.message_idnr = e.row_idnr
        where e.row_idnr < 281474976710656) t
$$;
comment on function dbmail_mesh.touched_by is 'Part of write_plan: the mailboxes in which a client could notice something.';

create or replace function dbmail_mesh.write_moves(moves jsonb) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  rows bigint[];
begin
  if moves is null then
    return '{}';
  end if;
  perform from public.dbmail_messages g
  where g.message_idnr in (select e.row_idnr from jsonb_to_recordset(moves) as e(row_idnr bigint))
  order by g.message_idnr for update;
  -- Who owns what changes hands, before it does.
  perform dbmail_mesh.write_owner_sizes(moves);
  -- A message that was expunged a moment ago stays under its old UID: dead is dead.
  with moved as (
    update public.dbmail_messages g
    set message_idnr = e.uid, mailbox_idnr = e.mailbox, seq = m.seq, status = coalesce(l.status, g.status)
    from jsonb_to_recordset(moves) as e(row_idnr bigint, uid bigint, mailbox bigint)
    join public.dbmail_mailboxes m on m.mailbox_idnr = e.mailbox
    left join dbmail_mesh.late l on l.row_idnr = e.row_idnr and l.row_idnr >= 281474976710656
    where g.message_idnr = e.row_idnr and (g.status < 2 or l.row_idnr is not null)
    returning g.message_idnr, e.row_idnr
  ), logged as (
    insert into dbmail_mesh.renumber_log (birth_uid, old_uid, new_uid, mailbox_idnr, was_visible, decided_by, decided_at)
    select e.birth, e.old_uid, e.uid, e.mailbox, e.row_idnr < 281474976710656, n.decided_by, n.decided_at
    from jsonb_to_recordset(moves) as e(birth bigint, row_idnr bigint, old_uid bigint, uid bigint, mailbox bigint)
    join moved on moved.message_idnr = e.uid
    join dbmail_mesh.number n on n.uid = e.uid
    where e.uid > e.old_uid
    order by e.uid
  )
  select array_agg(message_idnr) into rows from moved where row_idnr >= 281474976710656;
  delete from dbmail_mesh.late l using jsonb_to_recordset(moves) as e(birth bigint) where l.birth_uid = e.birth;
  return coalesce(rows, '{}');
end
$$;
comment on function dbmail_mesh.write_moves is 'Part of write_plan: rows get a new UID or a new mailbox; hidden ones become visible, and are returned.';

create function dbmail_mesh.write_owner_sizes(moves jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  with change as (
    select o.owner_idnr as giver, n.owner_idnr as taker, p.messagesize
    from jsonb_to_recordset(moves) as e(row_idnr bigint, mailbox bigint)
    join public.dbmail_messages g on g.message_idnr = e.row_idnr and g.status < 2
    join public.dbmail_physmessage p on p.id = g.physmessage_id
    join public.dbmail_mailboxes o on o.mailbox_idnr = g.mailbox_idnr
    join public.dbmail_mailboxes n on n.mailbox_idnr = e.mailbox
    where e.row_idnr < 281474976710656 and o.owner_idnr <> n.owner_idnr
  ), per_owner as (
    select owner, sum(size)::bigint as delta
    from (select giver as owner, -messagesize as size from change union all select taker, messagesize from change) c
    group by owner
  ), locked as (
    select u.user_idnr, o.delta from public.dbmail_users u join per_owner o on o.owner = u.user_idnr
    order by u.user_idnr for no key update of u
  )
  update public.dbmail_users u set curmail_size = greatest(u.curmail_size + l.delta, 0)
  from locked l where u.user_idnr = l.user_idnr
$$;
comment on function dbmail_mesh.write_owner_sizes is 'Part of write_moves: curmail_size follows a visible message into a mailbox of somebody else.';

create function dbmail_mesh.write_stows(stows jsonb) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if stows is null then
    return '{}';
  end if;
  perform from public.dbmail_messages g
  where g.message_idnr in (select e.row_idnr from jsonb_to_recordset(stows) as e(row_idnr bigint))
  order by g.message_idnr for update;
  with stowed as (
    insert into dbmail_mesh.late as l (birth_uid, mailbox_idnr, uid, row_idnr, status)
    select e.birth, e.mailbox, e.uid, nextval('dbmail_mesh.staging_idnr_seq'), g.status
    from jsonb_to_recordset(stows) as e(birth bigint, mailbox bigint, uid bigint, row_idnr bigint)
    join public.dbmail_messages g on g.message_idnr = e.row_idnr and g.status < 2
    on conflict (birth_uid) do update
    set mailbox_idnr = excluded.mailbox_idnr, uid = excluded.uid, row_idnr = excluded.row_idnr, status = excluded.status
    returning birth_uid, row_idnr
  )
  update public.dbmail_messages g
  set message_idnr = s.row_idnr, mailbox_idnr = dbmail_mesh.staging_mailbox(), status = 5
  from jsonb_to_recordset(stows) as e(birth bigint, row_idnr bigint) join stowed s on s.birth_uid = e.birth
  where g.message_idnr = e.row_idnr;
  -- Their owners are about to go: nobody's quota is charged any more.
  return '{}';
end
$$;
comment on function dbmail_mesh.write_stows is 'Part of write_plan: visible messages whose owner was deleted, and which he who deleted him had not seen, are kept aside.';

create function dbmail_mesh.write_waits(waits jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if waits is null then
    return;
  end if;
  -- The rows are locked: one that is being expunged either is dead by now, or its expunge sees the entry.
  perform from public.dbmail_messages g
  where g.message_idnr in (select e.row_idnr from jsonb_to_recordset(waits) as e(row_idnr bigint))
  order by g.message_idnr for no key update;
  insert into dbmail_mesh.late as l (birth_uid, mailbox_idnr, uid, row_idnr)
  select e.birth, e.mailbox, e.uid, e.row_idnr
  from jsonb_to_recordset(waits) as e(birth bigint, mailbox bigint, uid bigint, row_idnr bigint)
  join public.dbmail_messages g on g.message_idnr = e.row_idnr and (g.status < 2 or e.row_idnr >= 281474976710656)
  on conflict (birth_uid) do update set uid = greatest(l.uid, excluded.uid), mailbox_idnr = excluded.mailbox_idnr;
end
$$;
comment on function dbmail_mesh.write_waits is 'Part of write_plan: messages that are here wait for a new UID, or for one in another mailbox.';

create function dbmail_mesh.write_marks(marks jsonb, words jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if marks is not null then
    perform from public.dbmail_messages g
    where g.message_idnr in (select e.now_idnr from jsonb_to_recordset(marks) as e(now_idnr bigint))
    order by g.message_idnr for no key update;
    update public.dbmail_messages g
    set seen_flag = case when (e.seen_at, e.seen) > (coalesce(r.seen, 0), g.seen_flag) then e.seen else g.seen_flag end,
        answered_flag = case when (e.answered_at, e.answered) > (coalesce(r.answered, 0), g.answered_flag) then e.answered
                             else g.answered_flag end,
        deleted_flag = case when (e.deleted_at, e.deleted) > (coalesce(r.deleted, 0), g.deleted_flag) then e.deleted
                            else g.deleted_flag end,
        flagged_flag = case when (e.flagged_at, e.flagged) > (coalesce(r.flagged, 0), g.flagged_flag) then e.flagged
                            else g.flagged_flag end,
        draft_flag = case when (e.draft_at, e.draft) > (coalesce(r.draft, 0), g.draft_flag) then e.draft else g.draft_flag end
    from jsonb_to_recordset(marks) as e(birth bigint, now_idnr bigint, seen smallint, answered smallint, deleted smallint,
        flagged smallint, draft smallint, seen_at bigint, answered_at bigint, deleted_at bigint, flagged_at bigint, draft_at bigint)
    left join dbmail_mesh.message_register r on r.birth_uid = e.birth
    where g.message_idnr = e.now_idnr and (g.status < 2 or e.now_idnr >= 281474976710656);
  end if;
  if words is not null then
    delete from public.dbmail_keywords w
    using jsonb_to_recordset(words) as e(birth bigint, now_idnr bigint, keyword text, stamp bigint, present boolean)
    where w.message_idnr = e.now_idnr and w.keyword = e.keyword and not e.present
      and not exists (select from dbmail_mesh.keyword_register r
                      where r.birth_uid = e.birth and r.keyword = e.keyword and r.stamp > e.stamp);
    insert into public.dbmail_keywords (message_idnr, keyword)
    select e.now_idnr, e.keyword
    from jsonb_to_recordset(words) as e(birth bigint, now_idnr bigint, keyword text, stamp bigint, present boolean)
    join public.dbmail_messages g on g.message_idnr = e.now_idnr and (g.status < 2 or e.now_idnr >= 281474976710656)
    where e.present and not exists (select from dbmail_mesh.keyword_register r
                                    where r.birth_uid = e.birth and r.keyword = e.keyword and r.stamp > e.stamp)
    order by e.now_idnr, e.keyword
    on conflict do nothing;
  end if;
  -- Who was marked gets the seq that its mailbox was just given.
  update public.dbmail_messages g set seq = m.seq
  from (select e.now_idnr from jsonb_to_recordset(marks) as e(now_idnr bigint)
        union select e.now_idnr from jsonb_to_recordset(words) as e(now_idnr bigint)) e, public.dbmail_mailboxes m
  where g.message_idnr = e.now_idnr and e.now_idnr < 281474976710656 and m.mailbox_idnr = g.mailbox_idnr and g.seq < m.seq;
end
$$;
comment on function dbmail_mesh.write_marks is 'Part of write_plan: flags and keywords whose stamps are later than those here.';

create function dbmail_mesh.write_registers(registers jsonb, words jsonb, rescued jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  insert into dbmail_mesh.message_register as r (birth_uid, seen, answered, deleted, flagged, draft, place)
  select e.birth, e.seen, e.answered, e.deleted, e.flagged, e.draft, e.place
  from jsonb_to_recordset(registers) as e(birth bigint, seen bigint, answered bigint, deleted bigint, flagged bigint, draft bigint,
    place bigint)
  order by e.birth
  on conflict (birth_uid) do update
  set seen = greatest(r.seen, excluded.seen), answered = greatest(r.answered, excluded.answered),
      deleted = greatest(r.deleted, excluded.deleted), flagged = greatest(r.flagged, excluded.flagged),
      draft = greatest(r.draft, excluded.draft), place = greatest(r.place, excluded.place);
  insert into dbmail_mesh.message_register as r (birth_uid, place)
  select e.birth::bigint, dbmail_mesh.next_stamp(0) from jsonb_array_elements(rescued) e(birth)
  order by 1
  on conflict (birth_uid) do update set place = dbmail_mesh.next_stamp(r.place);
  insert into dbmail_mesh.keyword_register as r (birth_uid, keyword, stamp, present)
  select e.birth, e.keyword, e.stamp, e.present
  from jsonb_to_recordset(words) as e(birth bigint, keyword text, stamp bigint, present boolean)
  order by e.birth, e.keyword
  on conflict on constraint keyword_register_pkey do update
  set stamp = excluded.stamp, present = excluded.present, removed_in = null
  where r.stamp < excluded.stamp;
$$;
comment on function dbmail_mesh.write_registers is 'Part of write_plan: stamps, each only ever forward. Messages that were rescued from a mailbox that is gone are stamped by this node.';

create function dbmail_mesh.note_plan(plan jsonb, source smallint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- What a settlement writes is a change like any other (origin null): a peer that was not part of it learns of it from here. What
  -- came over a link is noted too, with its origin: sweep_overtaking() has to see when it became visible. What this node decided on its
  -- own account while it applied is its own.
  insert into dbmail_mesh.outbox (kind, key, origin, source_xid)
  select 'm', e.uid, case when own.birth is null then source end, case when own.birth is null then (plan ->> 'source_xid')::xid8 end
  from (select birth, uid from jsonb_to_recordset(plan -> 'move') as e(birth bigint, uid bigint)
        union select birth, uid from jsonb_to_recordset(plan -> 'take') as e(birth bigint, uid bigint)
        union select birth, now_idnr from jsonb_to_recordset(plan -> 'mark') as e(birth bigint, now_idnr bigint)
        union select birth, now_idnr from jsonb_to_recordset(plan -> 'mark_keywords') as e(birth bigint, now_idnr bigint)
        union select birth, birth from jsonb_to_recordset(plan -> 'stow') as e(birth bigint)
        union select o.birth::bigint, o.birth::bigint from jsonb_array_elements(plan -> 'own') o(birth)) e
  left join (select o.birth::bigint from jsonb_array_elements(plan -> 'own') o(birth)) own on own.birth = e.birth
  order by e.uid;
  if source is null or plan ? 'own' then
    perform dbmail_mesh.ring();
  end if;
end
$$;
comment on function dbmail_mesh.note_plan is 'Part of write_plan: what changed is noted in the outbox.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (12, 'join');
