-- dbmail-mesh 0005: what the worker calls on the node that it writes to.
--
-- The worker decides (in its pure code) and these functions write. Lock order everywhere: users, mailboxes FOR KEY SHARE,
-- line rows, mailboxes (seq), messages, keywords; each ascending; curmail_size last. One call looks, one call writes, so that
-- statement_timeout and idle_in_transaction_session_timeout bound the whole time that a delivery may have to wait for.

create function dbmail_mesh.guard(wait_ms integer, hold_ms integer) returns void
language sql set search_path = pg_catalog, pg_temp
as $$
  select set_config('dbmail_mesh.applying', 'on', true),
         set_config('lock_timeout', wait_ms || 'ms', true),
         set_config('statement_timeout', hold_ms || 'ms', true),
         set_config('idle_in_transaction_session_timeout', hold_ms || 'ms', true)
$$;
comment on function dbmail_mesh.guard is 'Begins the part of a transaction that holds locks: this server gives up a lock that it does not get in time, and lets go of what it holds, by itself.';

create function dbmail_mesh.staging_mailbox() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  staging_owner bigint;
  staging bigint;
begin
  select user_idnr into staging_owner from public.dbmail_users where userid = '__@!internal_delivery_user!@__';
  select mailbox_idnr into staging from public.dbmail_mailboxes where owner_idnr = staging_owner and name = 'INBOX';
  if staging is null then
    insert into public.dbmail_mailboxes (owner_idnr, name) values (staging_owner, 'INBOX') on conflict do nothing;
    select mailbox_idnr into staging from public.dbmail_mailboxes where owner_idnr = staging_owner and name = 'INBOX';
  end if;
  return staging;
end
$$;
comment on function dbmail_mesh.staging_mailbox is 'INBOX of dbmail''s internal delivery user: where rows wait that no client is shown. Made when it is missing.';

create function dbmail_mesh.view_messages(births bigint[])
returns table (birth_uid bigint, state "char", uid bigint, row_idnr bigint, mailbox_idnr bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select b.birth_uid,
         (case when t.birth_uid is not null then 'd'
               when l.row_idnr >= 281474976710656 then 'h'
               when g.status >= 2 then 'd'
               when l.birth_uid is not null then 'w' else 'v' end)::"char",
         coalesce(l.uid, t.uid, g.message_idnr), g.message_idnr, coalesce(l.mailbox_idnr, g.mailbox_idnr, t.mailbox_idnr)
  from unnest(births) b(birth_uid)
  left join dbmail_mesh.tombstone t on t.birth_uid = b.birth_uid
  left join dbmail_mesh.late l on l.birth_uid = b.birth_uid
  -- The highest number under which it is here.
  left join lateral (select n.uid from dbmail_mesh.number n join public.dbmail_messages r on r.message_idnr = n.uid
                     where n.birth_uid = b.birth_uid order by n.uid desc limit 1) n on true
  left join public.dbmail_messages g on g.message_idnr = coalesce(l.row_idnr, n.uid, b.birth_uid)
  where t.birth_uid is not null or g.message_idnr is not null
$$;
comment on function dbmail_mesh.view_messages is 'What this node has of each message: v visible, w visible under a UID that must go, h hidden, d dead; no row when it has never seen it.';

-- dbmail delivers to several recipients one after the other, each copied from the row of the one before it. While that goes on,
-- dbmail's own staging row of the same content exists; renumbering such a row would make the other recipients fail.
create function dbmail_mesh.in_delivery(births bigint[]) returns setof bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select v.birth_uid
  from dbmail_mesh.view_messages(births) v
  join public.dbmail_messages g on g.message_idnr = v.row_idnr
  where v.state in ('v', 'w') and exists (
    select from public.dbmail_messages s
    where s.physmessage_id = g.physmessage_id and s.message_idnr >= 281474976710656
      and not exists (select from dbmail_mesh.late l where l.row_idnr = s.message_idnr))
$$;
comment on function dbmail_mesh.in_delivery is 'Which of these messages dbmail is still delivering to further recipients.';

create function dbmail_mesh.lock_and_view(mailboxes bigint[], births bigint[])
returns table (id bigint, state "char", uid bigint, row_idnr bigint, mailbox_idnr bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.dbmail_mailboxes m where m.mailbox_idnr = any (mailboxes) order by m.mailbox_idnr for key share;
  perform from dbmail_mesh.line l where l.mailbox_idnr = any (mailboxes) order by l.mailbox_idnr for no key update;
  -- Statements of their own: their snapshots are newer than the locks.
  return query
    select l.mailbox_idnr, 'l'::"char",
           greatest(l.high, (select max(o.uid) from dbmail_mesh.overtaking o where o.mailbox_idnr = l.mailbox_idnr)),
           null::bigint, l.mailbox_idnr
    from dbmail_mesh.line l join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
    where l.mailbox_idnr = any (mailboxes);
  return query select v.birth_uid, v.state, v.uid, v.row_idnr, v.mailbox_idnr from dbmail_mesh.view_messages(births) v;
end
$$;
comment on function dbmail_mesh.lock_and_view is 'Locks mailboxes and their lines, and tells the lines (state l: id is the mailbox, uid its high line) and what is known of the messages (as view_messages).';

-- A session of dbmail that waits for a row while it gets a new number would find nothing under the old one: its STORE or EXPUNGE would
-- be lost. And two EXPUNGEs lock rows downwards by UID: if one follows a row to its new number while the other came to it from
-- above, they deadlock. So whoever renumbers looks round before it commits, and steps back.
create function dbmail_mesh.is_waited_for() returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_locks w join pg_locks t on t.pid = w.pid
    where w.locktype = 'transactionid' and not w.granted and w.transactionid = pg_current_xact_id()::xid
      and t.locktype = 'tuple' and t.relation = 'public.dbmail_messages'::regclass)
$$;
comment on function dbmail_mesh.is_waited_for is 'Whether another session waits for a message row that this transaction has changed.';

create function dbmail_mesh.write_plan(plan jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  touched bigint[];
  died bigint[];
  shown bigint[];
begin
  select array_agg(distinct e.mailbox order by e.mailbox) into touched
  from (select mailbox from jsonb_to_recordset(plan -> 'take') as e(mailbox bigint)
        union all select mailbox from jsonb_to_recordset(plan -> 'move') as e(mailbox bigint)
        union all select mailbox from jsonb_to_recordset(plan -> 'kill') as e(mailbox bigint, row_idnr bigint)
                  where e.row_idnr < 281474976710656) e;
  perform from public.dbmail_mailboxes m where m.mailbox_idnr = any (touched) order by m.mailbox_idnr for no key update;
  update public.dbmail_mailboxes m set seq = m.seq + 1 where m.mailbox_idnr = any (touched);

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

  died := dbmail_mesh.write_kills(plan -> 'kill');
  shown := dbmail_mesh.write_moves(plan -> 'move') || dbmail_mesh.write_takes(plan -> 'take');
  perform dbmail_mesh.write_hides(plan -> 'hide');

  -- The rows are locked: one that is being expunged either is dead by now, or its expunge sees the entry.
  perform from public.dbmail_messages g
  where g.message_idnr in (select e.row_idnr from jsonb_to_recordset(plan -> 'wait') as e(row_idnr bigint))
  order by g.message_idnr for no key update;
  insert into dbmail_mesh.late as l (birth_uid, mailbox_idnr, uid, row_idnr)
  select e.birth, e.mailbox, e.uid, e.row_idnr
  from jsonb_to_recordset(plan -> 'wait') as e(birth bigint, mailbox bigint, uid bigint, row_idnr bigint)
  join public.dbmail_messages g on g.message_idnr = e.row_idnr and (g.status < 2 or e.row_idnr >= 281474976710656)
  on conflict (birth_uid) do update set uid = greatest(l.uid, excluded.uid);

  update dbmail_mesh.line l set high = greatest(l.high, e.high)
  from (select e.mailbox, max(e.uid) as high
        from (select mailbox, uid from jsonb_to_recordset(plan -> 'take') as e(mailbox bigint, uid bigint)
              union all select mailbox, uid from jsonb_to_recordset(plan -> 'move') as e(mailbox bigint, uid bigint)) e
        group by e.mailbox) e
  where l.mailbox_idnr = e.mailbox and l.high < e.high;

  -- What a settlement writes is a change like any other (origin null): a peer that was not part of it learns of it from here. What
  -- came over a link is noted too, with its origin: sweep_overtaking() has to see when it became visible.
  insert into dbmail_mesh.outbox (kind, key, origin)
  select 'm', e.uid, (plan ->> 'origin')::smallint
  from (select uid from jsonb_to_recordset(plan -> 'move') as e(uid bigint)
        union all select uid from jsonb_to_recordset(plan -> 'take') as e(uid bigint)) e
  order by e.uid;
  if plan ->> 'origin' is null then
    perform dbmail_mesh.ring();
  end if;

  perform dbmail_mesh.write_sizes(shown, died);
  if (plan ->> 'steps_back')::boolean and jsonb_array_length(plan -> 'move') > 0 and dbmail_mesh.is_waited_for() then
    raise exception 'a session waits for a message that was to be renumbered'
      using errcode = 'lock_not_available', hint = 'It goes first; the renumber is tried again.';
  end if;
end
$$;
comment on function dbmail_mesh.write_plan is 'Writes what the worker decided for messages of mailboxes that it has locked with lock_and_view.';

create function dbmail_mesh.write_kills(kills jsonb) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  rows bigint[];
begin
  if jsonb_array_length(kills) = 0 then
    return '{}';
  end if;
  -- The rows before their tombstones, as an EXPUNGE does.
  perform from public.dbmail_messages g
  where g.message_idnr in (select e.row_idnr from jsonb_to_recordset(kills) as e(row_idnr bigint))
  order by g.message_idnr for no key update;
  insert into dbmail_mesh.tombstone (birth_uid, uid, mailbox_idnr)
  select e.birth, e.uid, e.mailbox
  from jsonb_to_recordset(kills) as e(birth bigint, uid bigint, mailbox bigint)
  order by e.birth
  on conflict do nothing;
  with died as (
    update public.dbmail_messages g set status = 2, seq = m.seq
    from jsonb_to_recordset(kills) as e(row_idnr bigint), public.dbmail_mailboxes m
    where g.message_idnr = e.row_idnr and e.row_idnr < 281474976710656 and g.status < 2 and m.mailbox_idnr = g.mailbox_idnr
    returning g.message_idnr
  )
  select array_agg(message_idnr) into rows from died;
  -- A hidden row was never shown: nothing is left of it. dbmail-util collects its content.
  delete from public.dbmail_messages g using jsonb_to_recordset(kills) as e(row_idnr bigint)
  where g.message_idnr = e.row_idnr and e.row_idnr >= 281474976710656;
  delete from dbmail_mesh.late l using jsonb_to_recordset(kills) as e(birth bigint) where l.birth_uid = e.birth;
  return coalesce(rows, '{}');
end
$$;
comment on function dbmail_mesh.write_kills is 'Part of write_plan: messages that are dead elsewhere die here. Returns the rows that were visible.';

create function dbmail_mesh.write_moves(moves jsonb) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  rows bigint[];
begin
  if jsonb_array_length(moves) = 0 then
    return '{}';
  end if;
  perform from public.dbmail_messages g
  where g.message_idnr in (select e.row_idnr from jsonb_to_recordset(moves) as e(row_idnr bigint))
  order by g.message_idnr for update;
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
comment on function dbmail_mesh.write_moves is 'Part of write_plan: rows get a new UID; hidden ones become visible, and are returned.';

create function dbmail_mesh.write_takes(takes jsonb) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  rows bigint[];
begin
  if jsonb_array_length(takes) = 0 then
    return '{}';
  end if;
  insert into public.dbmail_messages (message_idnr, mailbox_idnr, physmessage_id, seen_flag, answered_flag, deleted_flag,
    flagged_flag, recent_flag, draft_flag, unique_id, status, seq)
  select e.uid, e.mailbox, e.physmessage, e.seen, e.answered, e.deleted, e.flagged, 1, e.draft, e.unique_id, e.status, m.seq
  from jsonb_to_recordset(takes) as e(uid bigint, mailbox bigint, physmessage bigint, seen smallint, answered smallint,
    deleted smallint, flagged smallint, draft smallint, unique_id text, status smallint)
  join public.dbmail_mailboxes m on m.mailbox_idnr = e.mailbox
  order by e.uid;
  insert into public.dbmail_keywords (message_idnr, keyword)
  select e.uid, k.keyword
  from jsonb_to_recordset(takes) as e(uid bigint, keywords jsonb), jsonb_array_elements_text(e.keywords) as k(keyword);
  insert into dbmail_mesh.renumber_log (birth_uid, old_uid, new_uid, mailbox_idnr, was_visible, decided_by, decided_at)
  select e.birth, e.birth, e.uid, e.mailbox, false, n.decided_by, n.decided_at
  from jsonb_to_recordset(takes) as e(birth bigint, uid bigint, mailbox bigint)
  join dbmail_mesh.number n on n.uid = e.uid
  order by e.uid;
  select array_agg(e.uid) into rows from jsonb_to_recordset(takes) as e(uid bigint);
  return rows;
end
$$;
comment on function dbmail_mesh.write_takes is 'Part of write_plan: new messages become visible; returns their rows.';

create function dbmail_mesh.write_hides(hides jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_array_length(hides) = 0 then
    return;
  end if;
  with hidden as (
    insert into dbmail_mesh.late (birth_uid, mailbox_idnr, uid, row_idnr, status)
    select e.birth, e.mailbox, e.uid, nextval('dbmail_mesh.staging_idnr_seq'), e.status
    from jsonb_to_recordset(hides) as e(birth bigint, uid bigint, mailbox bigint, status smallint)
    on conflict (birth_uid) do update set uid = excluded.uid, row_idnr = excluded.row_idnr, status = excluded.status
    returning birth_uid, row_idnr
  ), stored as (
    insert into public.dbmail_messages (message_idnr, mailbox_idnr, physmessage_id, seen_flag, answered_flag, deleted_flag,
      flagged_flag, recent_flag, draft_flag, unique_id, status)
    -- Status 5 (being inserted): dbmail-util keeps such rows and their content, and never touches them.
    select h.row_idnr, (select dbmail_mesh.staging_mailbox()), e.physmessage, e.seen, e.answered, e.deleted, e.flagged, 1, e.draft,
      e.unique_id, 5
    from jsonb_to_recordset(hides) as e(birth bigint, physmessage bigint, seen smallint, answered smallint, deleted smallint,
      flagged smallint, draft smallint, unique_id text)
    join hidden h on h.birth_uid = e.birth
  )
  insert into public.dbmail_keywords (message_idnr, keyword)
  select h.row_idnr, k.keyword
  from jsonb_to_recordset(hides) as e(birth bigint, keywords jsonb) join hidden h on h.birth_uid = e.birth,
    jsonb_array_elements_text(e.keywords) as k(keyword);
end
$$;
comment on function dbmail_mesh.write_hides is 'Part of write_plan: late messages are stored in the staging mailbox, where no client sees them and dbmail-util keeps them.';

create function dbmail_mesh.write_sizes(shown bigint[], died bigint[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  with change as (
    select unnest(shown) as row_idnr, 1 as sign union all select unnest(died), -1
  ), per_owner as (
    select m.owner_idnr, sum(c.sign * p.messagesize)::bigint as delta
    from change c
    join public.dbmail_messages g on g.message_idnr = c.row_idnr
    join public.dbmail_physmessage p on p.id = g.physmessage_id
    join public.dbmail_mailboxes m on m.mailbox_idnr = g.mailbox_idnr
    group by m.owner_idnr
  ), locked as (
    select u.user_idnr, o.delta from public.dbmail_users u join per_owner o on o.owner_idnr = u.user_idnr
    order by u.user_idnr for no key update of u
  )
  update public.dbmail_users u set curmail_size = greatest(u.curmail_size + l.delta, 0)
  from locked l where u.user_idnr = l.user_idnr
$$;
comment on function dbmail_mesh.write_sizes is 'Part of write_plan, and its last: the owners'' curmail_size follows what became visible and what died.';

create function dbmail_mesh.reserve(mailbox bigint, births bigint[], above bigint)
returns table (uid bigint, decided_at timestamptz)
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  insert into dbmail_mesh.reservation as r (uid, mailbox_idnr, birth_uid)
  select dbmail_mesh.next_uid(above), mailbox, b from unnest(births) b
  returning r.uid, r.reserved_at
$$;
comment on function dbmail_mesh.reserve is 'Sets new numbers of this node aside for late messages. Must be committed before any of them is written anywhere.';

create function dbmail_mesh.keep_up(uid bigint, mailbox bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  step bigint := (select stride from dbmail_mesh.local_node);
  last_uid bigint := (select last_value from public.dbmail_message_idnr_seq);
  last_mailbox bigint := (select last_value from public.dbmail_mailbox_idnr_seq);
begin
  -- A gap is closed over several calls: a long loop of nextval has no business in a short one.
  if last_uid < uid - step then
    perform dbmail_mesh.draw_above('public.dbmail_message_idnr_seq', step, least(uid - step, last_uid + 100000 * step));
  end if;
  if last_mailbox < mailbox then
    perform dbmail_mesh.draw_above('public.dbmail_mailbox_idnr_seq', step, least(mailbox - step, last_mailbox + 100000 * step));
  end if;
end
$$;
comment on function dbmail_mesh.keep_up is 'Moves this node''s sequences towards ids that came from elsewhere: UIDs stay in the order of time, and a new mailbox never gets a lower UIDVALIDITY than an old one of its name.';

create function dbmail_mesh.sweep_overtaking(mailbox bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  oldest pg_snapshot;
  top bigint;
  queued bigint;
begin
  -- Whoever held the line when a mark was left has ended once we hold it; whoever takes it after us sees the mark.
  perform from dbmail_mesh.line l where l.mailbox_idnr = mailbox for no key update;
  select max(o.uid) into top from dbmail_mesh.overtaking o where o.mailbox_idnr = mailbox;
  if top is null then
    return 0;
  end if;
  -- The oldest mark stands for all: what it may have overtaken includes what the others may have.
  select o.seen into oldest from dbmail_mesh.overtaking o
  where o.mailbox_idnr = mailbox order by pg_snapshot_xmax(o.seen), o.uid limit 1;
  -- The rows are locked: one that is being expunged either is dead by now, or its expunge sees the entry. Whoever went without the
  -- lock may itself have been overtaken: its own transaction is none that its snapshot knows to be under way.
  with suspect as (
    select g.message_idnr, g.mailbox_idnr
    from public.dbmail_messages g
    where g.message_idnr in (
        select x.key from dbmail_mesh.outbox x
        where x.txid >= pg_snapshot_xmin(oldest) and not pg_visible_in_snapshot(x.txid, oldest) and x.kind = 'm' and x.key <= top
        union select o.uid from dbmail_mesh.overtaking o where o.mailbox_idnr = mailbox)
      and g.mailbox_idnr = mailbox and g.status < 2
    order by g.message_idnr for no key update
  )
  insert into dbmail_mesh.late (birth_uid, mailbox_idnr, uid, row_idnr)
  select dbmail_mesh.birth_of(s.message_idnr), s.mailbox_idnr, s.message_idnr, s.message_idnr from suspect s
  on conflict do nothing;
  get diagnostics queued = row_count;
  delete from dbmail_mesh.overtaking o where o.mailbox_idnr = mailbox and o.uid <= top;
  update dbmail_mesh.line l set high = greatest(l.high, top) where l.mailbox_idnr = mailbox;
  return queued;
end
$$;
comment on function dbmail_mesh.sweep_overtaking is 'Queues for renumbering what was overtaken in a mailbox while its line was locked for too long; returns how many.';

create function dbmail_mesh.purge_outbox(keep interval) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  below xid8;
  purged bigint;
begin
  -- Nothing before every peer has said what it holds; nothing while somebody may still have been overtaken.
  if exists (select from dbmail_mesh.overtaking)
     or not exists (select from dbmail_mesh.peer)
     or exists (select from dbmail_mesh.peer p left join dbmail_mesh.acknowledged a on a.target_id = p.node_id
                where a.target_id is null) then
    return 0;
  end if;
  select pg_snapshot_xmin(a.snapshot) into below
  from dbmail_mesh.acknowledged a join dbmail_mesh.peer p on p.node_id = a.target_id
  order by pg_snapshot_xmin(a.snapshot) limit 1;
  delete from dbmail_mesh.outbox o
  where o.ctid = any (array(select x.ctid from dbmail_mesh.outbox x
                            where x.txid < below and x.at < clock_timestamp() - keep order by x.txid limit 10000));
  get diagnostics purged = row_count;
  return purged;
end
$$;
comment on function dbmail_mesh.purge_outbox is 'Removes what every peer holds durably; returns how many rows.';

insert into dbmail_mesh.migration (version, name) values (5, 'apply');
