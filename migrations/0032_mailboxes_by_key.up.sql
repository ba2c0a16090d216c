-- dbmail-mesh 0032: a batch finds the mailboxes that it raises by their keys.
--
-- Conditions on them were joined by "or", which no index answers: PostgreSQL went through all mailboxes of the node, several times a batch,
-- under the locks that deliveries wait for, and through what is to be lifted again for each of them. With 10,000 mailboxes
-- the statement that locks them took 27 ms in the mean.

set local lock_timeout = '250ms';

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

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name, needs) values (32, 'mailboxes_by_key', 31);
