-- dbmail-mesh 0033: a settlement looks at what it needs, draws its numbers at once, and writes them by one function.
--
-- Most messages of a settlement get a number and nothing else. write_plan() is made for all that a link may bring: it reads its plan out
-- of jsonb more than twenty times, and locks each row twice. And a settlement has no use for flags, keywords and stamps.

set local lock_timeout = '250ms';

create function dbmail_mesh.view_held(births bigint[])
returns table (birth_uid bigint, state "char", uid bigint, row_idnr bigint, mailbox_idnr bigint, row_mailbox bigint,
               row_physmessage bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select b.birth_uid,
         (case when t.birth_uid is not null then 'd'
               when l.row_idnr >= 281474976710656 then 'h'
               when g.status >= 2 then 'd'
               when l.birth_uid is not null then 'w' else 'v' end)::"char",
         coalesce(l.uid, t.uid, g.message_idnr), g.message_idnr, coalesce(l.mailbox_idnr, g.mailbox_idnr, t.mailbox_idnr),
         g.mailbox_idnr, g.physmessage_id
  from unnest(births) b(birth_uid)
  left join dbmail_mesh.tombstone t on t.birth_uid = b.birth_uid
  left join dbmail_mesh.late l on l.birth_uid = b.birth_uid
  -- The highest number under which it is here.
  left join lateral (select n.uid from dbmail_mesh.number n join public.dbmail_messages r on r.message_idnr = n.uid
                     where n.birth_uid = b.birth_uid order by n.uid desc limit 1) n on true
  left join public.dbmail_messages g on g.message_idnr = coalesce(l.row_idnr, n.uid, b.birth_uid)
  where t.birth_uid is not null or g.message_idnr is not null
$$;
comment on function dbmail_mesh.view_held is 'What this node has of each message, as view_messages, with the mailbox and the content of its row.';

create or replace function dbmail_mesh.in_delivery(births bigint[]) returns setof bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select v.birth_uid
  from dbmail_mesh.view_held(births) v
  where v.state in ('v', 'w') and exists (
    select from public.dbmail_messages s
    where s.physmessage_id = v.row_physmessage and s.message_idnr >= 281474976710656
      and not exists (select from dbmail_mesh.late l where l.row_idnr = s.message_idnr))
$$;

-- All but the first are drawn under one lock: a sequence only moves forward, so they are above it. As in jump_to_uid(), whatever ends
-- this lets go of the lock, which is one of the session.
create function dbmail_mesh.draw_uids(above bigint, many bigint) returns setof bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if many > 0 then
    return next dbmail_mesh.next_uid(above);
  end if;
  if many > 1 then
    begin
      perform pg_advisory_lock_shared(1684169069, 2);
      return query select nextval('public.dbmail_message_idnr_seq') from generate_series(2, many);
      perform pg_advisory_unlock_shared(1684169069, 2);
    exception when query_canceled or others then
      perform pg_advisory_unlock_shared(1684169069, 2);
      raise;
    end;
  end if;
end
$$;
comment on function dbmail_mesh.draw_uids is 'So many new UIDs of this node''s class, ascending, all above a number.';

create or replace function dbmail_mesh.reserve(mailbox bigint, births bigint[], above bigint)
returns table (uid bigint, decided_at timestamptz)
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  insert into dbmail_mesh.reservation as r (uid, mailbox_idnr, birth_uid)
  select d.uid, mailbox, b.birth
  from unnest(births) with ordinality b(birth, n)
  join dbmail_mesh.draw_uids(above, cardinality(births)) with ordinality d(uid, n) using (n)
  order by n
  returning r.uid, r.reserved_at
$$;

-- What write_plan() does with a plan that has nothing but numbers and moves within one mailbox, out of hiding included. Rows are looked up
-- by their numbers, however small the tables are, or were when they were last analyzed.
create function dbmail_mesh.settle(mailbox bigint, births bigint[], rows bigint[], old_uids bigint[], new_uids bigint[],
  number_uids bigint[], number_births bigint[], number_by smallint[], number_at text[], insists boolean)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
  new_seq bigint;
  owner bigint;
  gained bigint;
begin
  update public.dbmail_mailboxes m set seq = m.seq + 1 where m.mailbox_idnr = mailbox
  returning m.seq, m.owner_idnr into new_seq, owner;
  -- Ascending, as everywhere. One that dbmail has moved or removed since the look is missing here, or is found elsewhere.
  if (select count(*)
      from (select g.message_idnr, g.mailbox_idnr, g.status from public.dbmail_messages g
            where g.message_idnr = any (rows) order by g.message_idnr for update) g
      where g.message_idnr >= 281474976710656 or g.mailbox_idnr = mailbox or g.status >= 2) < cardinality(rows) then
    raise exception 'a message was moved or removed by dbmail meanwhile'
      using errcode = 'serialization_failure', hint = 'It is looked at again.';
  end if;

  insert into dbmail_mesh.number (uid, birth_uid, decided_by, decided_at)
  select e.uid, e.birth, e.decided_by, e.decided_at::timestamptz
  from unnest(number_uids, number_births, number_by, number_at) as e(uid, birth, decided_by, decided_at)
  order by e.uid
  on conflict do nothing;
  if exists (select from unnest(births, new_uids) as e(birth, uid)
             where e.uid <> e.birth
               and not exists (select from dbmail_mesh.number n where n.uid = e.uid and n.birth_uid = e.birth)) then
    raise exception 'a message was to get a number of which nothing is known'
      using hint = 'Nothing was written. This is a defect of dbmail-mesh: please report it.';
  end if;

  -- A message that was expunged a moment ago stays under its old UID: dead is dead.
  with moved as (
    update public.dbmail_messages g
    set message_idnr = e.uid, mailbox_idnr = mailbox, seq = new_seq, status = coalesce(l.status, g.status)
    from unnest(births, rows, old_uids, new_uids) as e(birth, row_idnr, old_uid, uid)
    left join dbmail_mesh.late l on l.row_idnr = e.row_idnr and l.row_idnr >= 281474976710656
    where g.message_idnr = e.row_idnr and (g.status < 2 or l.row_idnr is not null)
    returning g.physmessage_id, e.birth, e.row_idnr, e.old_uid, e.uid
  ), logged as (
    insert into dbmail_mesh.renumber_log (birth_uid, old_uid, new_uid, mailbox_idnr, was_visible, decided_by, decided_at)
    select m.birth, m.old_uid, m.uid, mailbox, m.row_idnr < 281474976710656, n.decided_by, n.decided_at
    from moved m join dbmail_mesh.number n on n.uid = m.uid
    where m.uid > m.old_uid
    order by m.uid
  )
  select sum(p.messagesize) into gained
  from moved m join public.dbmail_physmessage p on p.id = m.physmessage_id where m.row_idnr >= 281474976710656;
  delete from dbmail_mesh.late l where l.birth_uid = any (births);

  perform dbmail_mesh.raise_line(mailbox, (select max(e.uid) from unnest(new_uids) as e(uid)));
  insert into dbmail_mesh.outbox (kind, key, shown) select 'm', e.uid, true from unnest(new_uids) as e(uid) order by e.uid;
  insert into dbmail_mesh.outbox (kind, key) values ('s', mailbox);
  perform dbmail_mesh.ring();
  update public.dbmail_users u set curmail_size = greatest(u.curmail_size + gained, 0) where u.user_idnr = owner and gained is not null;
  if not insists and dbmail_mesh.is_waited_for() then
    raise exception 'a session waits for a message that was to be renumbered'
      using errcode = 'lock_not_available', hint = 'It goes first; the renumber is tried again.';
  end if;
end
$$;
comment on function dbmail_mesh.settle is 'Writes what a settlement decided for messages of a mailbox that it has locked with lock_and_view: they get new numbers, and hidden ones become visible. What is more than that is for write_plan.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name, needs) values (33, 'settling', 31);
