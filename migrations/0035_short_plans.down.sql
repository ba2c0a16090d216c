-- dbmail-mesh 0035, taken away: functions as they were.

set local lock_timeout = '250ms';

create or replace function dbmail_mesh.touched_by(plan jsonb) returns bigint[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return (
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
  );
end
$$;

create or replace function dbmail_mesh.raise_seq(plan jsonb, touched bigint[])
returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  crossed bigint[];
begin
  -- All that will be raised, follow_tides included: mailboxes before messages.
  perform from public.dbmail_mailboxes m
  where m.mailbox_idnr = any (array(
      select unnest(touched)
      union select e.mailbox from jsonb_to_recordset(plan -> 'modseq') as e(mailbox bigint)
      union select e.mailbox from jsonb_to_recordset(plan -> 'passed') as e(mailbox bigint)
      union select t.mailbox from jsonb_to_recordset(plan -> 'lift') as t(mailbox bigint, seq bigint)
            cross join lateral (select from public.dbmail_mailboxes b where b.mailbox_idnr = t.mailbox and b.seq < t.seq offset 0) b))
  order by m.mailbox_idnr for no key update;
  -- As nobody can raise it any more: clients may have left with any number up to this one, and without the change.
  select array_agg(distinct e.birth) into crossed
  from jsonb_to_recordset(plan -> 'modseq') as e(birth bigint, mailbox bigint, common bigint)
  cross join lateral (select from public.dbmail_mailboxes m where m.mailbox_idnr = e.mailbox and m.seq >= e.common offset 0) m;
  with given as (
    select e.mailbox, max(e.seq) as seq
    from jsonb_to_recordset(plan -> 'modseq') as e(mailbox bigint, seq bigint)
    group by e.mailbox
  ), wanted as (
    select m.mailbox_idnr, greatest(m.seq + case when m.mailbox_idnr = any (touched) then 1 else 0 end, g.seq) as seq
    from public.dbmail_mailboxes m left join given g on g.mailbox = m.mailbox_idnr
    where m.mailbox_idnr = any (array(select unnest(touched) union select o.mailbox from given o))
  )
  update public.dbmail_mailboxes m set seq = w.seq from wanted w where m.mailbox_idnr = w.mailbox_idnr and m.seq < w.seq;
  return crossed;
end
$$;

create or replace function dbmail_mesh.note_plan(plan jsonb, source smallint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- What a settlement writes is a change like any other (origin null): a peer that was not part of it learns of it from here. What
  -- came over a link is noted too, with its origin: sweep_overtaking() has to see when it became visible. What this node decided on its
  -- own account while it applied is its own.
  insert into dbmail_mesh.outbox (kind, key, origin, source_xid, shown)
  select 'm', e.uid, case when own.birth is null then source end, case when own.birth is null then (plan ->> 'source_xid')::xid8 end,
         bool_or(e.shown)
  from (select birth, uid, true as shown from jsonb_to_recordset(plan -> 'move') as e(birth bigint, uid bigint)
        union all select birth, uid, true from jsonb_to_recordset(plan -> 'take') as e(birth bigint, uid bigint)
        union all select birth, now_idnr, false from jsonb_to_recordset(plan -> 'mark') as e(birth bigint, now_idnr bigint)
        union all select birth, now_idnr, false from jsonb_to_recordset(plan -> 'mark_keywords') as e(birth bigint, now_idnr bigint)
        union all select birth, birth, false from jsonb_to_recordset(plan -> 'stow') as e(birth bigint)
        union all select o.birth::bigint, o.birth::bigint, false from jsonb_array_elements(plan -> 'own') o(birth)) e
  left join (select o.birth::bigint from jsonb_array_elements(plan -> 'own') o(birth)) own on own.birth = e.birth
  group by e.uid, own.birth
  order by e.uid;
  -- What no client is shown is a change too: a node that cannot hear the source may depend on this one for it.
  insert into dbmail_mesh.outbox (kind, key, origin, source_xid)
  select 'n', e.birth, source, (plan ->> 'source_xid')::xid8
  from (select birth from jsonb_to_recordset(plan -> 'kill') as e(birth bigint)
        union select birth from jsonb_to_recordset(plan -> 'hide') as e(birth bigint)
        union select birth from jsonb_to_recordset(plan -> 'wait') as e(birth bigint)
        union select birth from jsonb_to_recordset(plan -> 'registers') as e(birth bigint)
        union select birth from jsonb_to_recordset(plan -> 'keyword_registers') as e(birth bigint)
        except select birth from jsonb_to_recordset(plan -> 'take') as e(birth bigint)
        except select birth from jsonb_to_recordset(plan -> 'move') as e(birth bigint)
        except select birth from jsonb_to_recordset(plan -> 'stow') as e(birth bigint)
        except select birth from jsonb_to_recordset(plan -> 'mark') as e(birth bigint)
        except select birth from jsonb_to_recordset(plan -> 'mark_keywords') as e(birth bigint)
        except select o.birth::bigint from jsonb_array_elements(plan -> 'own') o(birth)) e
  where source is not null
  order by e.birth;
  if source is null or plan ? 'own' then
    perform dbmail_mesh.ring();
  end if;
end
$$;

create or replace function dbmail_mesh.write_tides(plan jsonb, touched bigint[])
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  update public.dbmail_mailboxes m set seq = t.seq
  from (select t.mailbox, max(t.seq) as seq
        from jsonb_to_recordset(plan -> 'lift') as t(mailbox bigint, seq bigint) group by t.mailbox) t
  where m.mailbox_idnr = any (array(select t.mailbox from jsonb_to_recordset(plan -> 'lift') as t(mailbox bigint)))
    and m.mailbox_idnr = t.mailbox and m.seq < t.seq;
  if plan ? 'passed' then
    -- With many messages, room above: while the source does not hear of them, each is renumbered again only after it has risen by
    -- sixteen for every one of them.
    update public.dbmail_mailboxes m set seq = greatest(m.seq, p.above) + 1 + 16 * (p.messages - 1)
    from (select e.mailbox, max(e.above) as above, count(*) as messages
          from jsonb_to_recordset(plan -> 'passed') as e(mailbox bigint, above bigint) group by e.mailbox) p
    where m.mailbox_idnr = p.mailbox;
    update public.dbmail_messages g set seq = m.seq
    from jsonb_to_recordset(plan -> 'passed') as e(row_idnr bigint, mailbox bigint), public.dbmail_mailboxes m
    where g.message_idnr = e.row_idnr and m.mailbox_idnr = e.mailbox and g.mailbox_idnr = e.mailbox and g.status < 2 and g.seq < m.seq;
    with own as (
      insert into dbmail_mesh.message_register as r (birth_uid, seq)
      select dbmail_mesh.birth_of(g.message_idnr), g.seq
      from jsonb_to_recordset(plan -> 'passed') as e(row_idnr bigint, is_own boolean)
      join public.dbmail_messages g on g.message_idnr = e.row_idnr and g.status < 2
      where e.is_own
      order by 1
      on conflict (birth_uid) do update set seq = greatest(r.seq, excluded.seq)
      returning birth_uid
    )
    insert into dbmail_mesh.outbox (kind, key) select 'n', o.birth_uid from own o;
    perform dbmail_mesh.ring();
  end if;
  -- Whoever may hold something that clients of this node lack has to know what number they may come with: the peers are told, unless it
  -- is one that the source has had, and this node has all that the source has.
  if not plan ? 'copies' then
    insert into dbmail_mesh.outbox (kind, key)
    select 's', m.mailbox_idnr
    from public.dbmail_mailboxes m
    left join jsonb_to_recordset(plan -> 'tides') as t(mailbox bigint, seq bigint) on t.mailbox = m.mailbox_idnr
    where m.mailbox_idnr = any (array(
        select unnest(touched) union select e.mailbox from jsonb_to_recordset(plan -> 'passed') as e(mailbox bigint)))
      and (m.mailbox_idnr = any (touched) and (not plan ? 'has_all' or m.seq > coalesce(t.seq, 0))
           or m.mailbox_idnr in (select e.mailbox from jsonb_to_recordset(plan -> 'passed') as e(mailbox bigint)));
  end if;
end
$$;

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

  perform dbmail_mesh.raise_lines(array_agg(e.mailbox), array_agg(e.high))
  from (select e.mailbox, max(e.uid) as high
        from (select mailbox, uid from jsonb_to_recordset(plan -> 'take') as e(mailbox bigint, uid bigint)
              union all select mailbox, uid from jsonb_to_recordset(plan -> 'move') as e(mailbox bigint, uid bigint)) e
        group by e.mailbox) e;

  perform dbmail_mesh.note_plan(plan, source);
  perform dbmail_mesh.write_tides(plan, touched);
  perform dbmail_mesh.write_sizes(shown, died);
  if (plan ->> 'steps_back')::boolean and plan ? 'move' and dbmail_mesh.is_waited_for() then
    raise exception 'a session waits for a message that was to be renumbered'
      using errcode = 'lock_not_available', hint = 'It goes first; the renumber is tried again.';
  end if;
end
$$;

create or replace function dbmail_mesh.covers(ours pg_snapshot, theirs pg_snapshot) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select pg_snapshot_xmax(ours) >= pg_snapshot_xmax(theirs)
         and not exists (select from pg_snapshot_xip(ours) as open(xid)
                         where open.xid < pg_snapshot_xmax(theirs) and pg_visible_in_snapshot(open.xid, theirs))
$$;

alter function dbmail_mesh.raise_lines(bigint[], bigint[]) reset enable_hashjoin;
alter function dbmail_mesh.write_hides(jsonb) reset enable_hashjoin;
alter function dbmail_mesh.write_moves(jsonb) reset enable_hashjoin;
alter function dbmail_mesh.write_stows(jsonb) reset enable_hashjoin;

delete from dbmail_mesh.migration where version = 35;
