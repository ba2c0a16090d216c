-- dbmail-mesh 0018: a reader who moves on, because the node that he used is gone.
--
-- The node that is gone may have shown him UIDs above messages that it never had. Here those are visible below what he was shown, so his
-- client would never ask for them. When he logs in here, they get new UIDs. For that the nodes tell each other who reads where, and the
-- outbox tells when a message became visible under its number.

set local lock_timeout = '250ms';

-- A login that is under way is noted by what there was before, and told to nobody.
lock table public.dbmail_users in share row exclusive mode;

alter table dbmail_mesh.outbox add column shown boolean not null default false;
comment on column dbmail_mesh.outbox.shown is 'Whether by this change the message became visible under this number.';

create table dbmail_mesh.reader_elsewhere (
  born_as text not null,
  generation integer not null,
  node_id smallint not null,
  seen_at timestamptz not null,
  constraint reader_elsewhere_pkey primary key (born_as, generation, node_id)
);
comment on table dbmail_mesh.reader_elsewhere is 'Who has ever logged in on which other node, as far as it has said so.';
comment on column dbmail_mesh.reader_elsewhere.born_as is 'As in account: the user may not be here yet.';
comment on column dbmail_mesh.reader_elsewhere.generation is 'As in account.';
comment on column dbmail_mesh.reader_elsewhere.node_id is 'The other node.';
comment on column dbmail_mesh.reader_elsewhere.seen_at is 'A login there, by this server''s clock. Later ones are not told.';

create table dbmail_mesh.moved_reader (
  user_idnr bigint not null,
  node_id smallint not null,
  lost_at timestamptz not null,
  looked_at timestamptz not null default clock_timestamp(),
  messages bigint not null,
  complete boolean not null,
  constraint moved_reader_pkey primary key (user_idnr, node_id)
);
comment on table dbmail_mesh.moved_reader is 'Users who logged in here while a node on which they had read was gone, and what was done about it.';
comment on column dbmail_mesh.moved_reader.user_idnr is 'dbmail_users.user_idnr.';
comment on column dbmail_mesh.moved_reader.node_id is 'The node that was gone.';
comment on column dbmail_mesh.moved_reader.lost_at is 'Since when, as this node noticed.';
comment on column dbmail_mesh.moved_reader.looked_at is 'When his messages were looked through.';
comment on column dbmail_mesh.moved_reader.messages is 'How many were given new UIDs, because the node that was gone may have shown him higher ones without having had them.';

comment on column dbmail_mesh.moved_reader.complete is 'Whether all other nodes could be asked. If not, it is looked again.';
create index tombstone_by_mailbox on dbmail_mesh.tombstone (mailbox_idnr, uid);

create function dbmail_mesh.note_shown(uid bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.outbox (kind, key, shown) values ('m', uid, true);
  perform dbmail_mesh.ring();
end
$$;
comment on function dbmail_mesh.note_shown is 'Notes for the peers that a message became visible under a number.';

create or replace function dbmail_mesh.capture_message() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.note_shown(new.message_idnr);
  return null;
end
$$;

create or replace function dbmail_mesh.capture_moved() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  birth bigint := dbmail_mesh.birth_of(old.message_idnr);
begin
  if dbmail_mesh.is_staging(new.mailbox_idnr) then
    return null;
  end if;
  if new.message_idnr <> old.message_idnr then
    insert into dbmail_mesh.number (uid, birth_uid, decided_by, decided_at)
    select new.message_idnr, birth, n.node_id, clock_timestamp() from dbmail_mesh.local_node n
    on conflict do nothing;
  end if;
  insert into dbmail_mesh.message_register as r (birth_uid, place) values (birth, dbmail_mesh.next_stamp(0))
  on conflict (birth_uid) do update set place = dbmail_mesh.next_stamp(r.place);
  delete from dbmail_mesh.late l where l.row_idnr = old.message_idnr;
  perform dbmail_mesh.note_shown(new.message_idnr);
  return null;
end
$$;

create or replace function dbmail_mesh.capture_revived() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if new.message_idnr <> old.message_idnr then
    perform dbmail_mesh.note_shown(new.message_idnr);
  end if;
  return null;
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
  if source is null or plan ? 'own' then
    perform dbmail_mesh.ring();
  end if;
end
$$;

create or replace function dbmail_mesh.note_login() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- The user's row is locked: no apply can be deciding that he is not here.
  update dbmail_mesh.presence p set seen_at = greatest(p.seen_at, clock_timestamp()) where p.user_idnr = new.user_idnr;
  if not found then
    insert into dbmail_mesh.presence (user_idnr, seen_at) values (new.user_idnr, clock_timestamp()) on conflict do nothing;
    -- The peers have to know of him should this node be lost: once is enough.
    perform dbmail_mesh.note('u', a.id) from dbmail_mesh.account a where a.user_idnr = new.user_idnr;
  end if;
  return null;
exception when others then
  raise warning 'dbmail-mesh: the login of user % could not be noted: %', new.userid, sqlerrm;
  return null;
end
$$;

create function dbmail_mesh.write_readers(source smallint, readers jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  insert into dbmail_mesh.reader_elsewhere as r (born_as, generation, node_id, seen_at)
  select e.born_as, e.generation, source, clock_timestamp() - make_interval(secs => e.seconds)
  from jsonb_to_recordset(readers) as e(born_as text, generation integer, seconds double precision)
  order by e.born_as, e.generation
  on conflict on constraint reader_elsewhere_pkey do nothing
$$;
comment on function dbmail_mesh.write_readers is 'Notes who reads on another node: {born_as, generation, seconds since he was seen}.';

-- Whoever comes from a node that cannot be reached has been shown what the others do not know of, and lacks what it never got. So it is with
-- one that is paused, from 0022 on: it may never come back, so nobody waits for that.
create function dbmail_mesh.is_gone(state text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select state in ('failing', 'refused', 'paused')
$$;
comment on function dbmail_mesh.is_gone is 'Whether the source of a link in this state (link_status) counts as gone for readers who move on.';

create function dbmail_mesh.moved_readers(most bigint)
returns table (user_idnr bigint, born_as text, generation integer, node_id smallint, lost_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select p.user_idnr, a.born_as, a.generation, s.source_id, s.since
  from dbmail_mesh.link_status s
  -- He may have come before the loss was noticed: a link waits ten minutes for an answer.
  join dbmail_mesh.presence p on p.seen_at > s.since - interval '11 minutes' and p.seen_at < 'infinity'
  join dbmail_mesh.account a on a.user_idnr = p.user_idnr
  join dbmail_mesh.reader_elsewhere e on e.born_as = a.born_as and e.generation = a.generation and e.node_id = s.source_id
  where dbmail_mesh.is_gone(s.state)
    and not exists (select from dbmail_mesh.moved_reader m
                    where m.user_idnr = p.user_idnr and m.node_id = s.source_id and m.lost_at = s.since
                      and (m.complete or m.looked_at > clock_timestamp() - interval '1 minute'))
  order by p.seen_at
  limit most
$$;
comment on function dbmail_mesh.moved_readers is 'Users who have logged in here since a node on which they used to read is gone, and whose messages have not been looked through.';

-- Until when the node that is gone may have got something from here: until this node noticed, by this node's clock.
create function dbmail_mesh.unacknowledged(gone smallint, silent smallint[], lost_at timestamptz, births text[], generations integer[])
returns table (born_as text, generation integer, birth_uid bigint, at timestamptz, may_have boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  with contact as (
    select k.snapshot, interval '10 s' + greatest(k.at, coalesce(
             (select s.since from dbmail_mesh.link_status s where s.source_id = gone and dbmail_mesh.is_gone(s.state)),
             clock_timestamp())) as until
    from dbmail_mesh.acknowledged k where k.target_id = gone
  ), shown as (
    select o.key, o.at
    from contact c join dbmail_mesh.outbox o on o.txid >= pg_snapshot_xmin(c.snapshot) and not pg_visible_in_snapshot(o.txid, c.snapshot)
    where o.kind = 'm' and o.shown and o.origin is null
    union all
    -- What is from others it acknowledges to them. What it has of those that cannot be asked is not known: what came last may be lacking.
    select o.key, o.at from dbmail_mesh.outbox o
    where cardinality(silent) > 0 and o.kind = 'm' and o.shown and o.origin = any (silent)
      and o.at > unacknowledged.lost_at - interval '10 minutes'
  ), lacked as (
    select s.key, min(s.at) as at from shown s group by s.key
  )
  select a.born_as, a.generation, dbmail_mesh.birth_of(l.key), l.at, l.at <= coalesce((select c.until from contact c), l.at)
  from unnest(births, generations) as w(born_as, generation)
  join dbmail_mesh.account a on a.born_as = w.born_as and a.generation = w.generation
  cross join lacked l
  join public.dbmail_messages g on g.message_idnr = l.key and g.status < 2
  join public.dbmail_mailboxes m on m.mailbox_idnr = g.mailbox_idnr
  where m.owner_idnr = a.user_idnr
     or exists (select from public.dbmail_acl c join public.dbmail_users u on u.user_idnr = c.user_id
                where c.mailbox_id = m.mailbox_idnr and (c.user_id = a.user_idnr or u.userid = 'anyone'))
$$;
comment on function dbmail_mesh.unacknowledged is 'Messages that users may read, that became visible here (or came from nodes that are silent), and that a node which is gone has not acknowledged; and whether it may have them all the same.';

create function dbmail_mesh.row_of(birth bigint) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select coalesce((select max(n.uid) from dbmail_mesh.number n where n.birth_uid = birth), birth)
$$;
comment on function dbmail_mesh.row_of is 'The number of the row of a message that is visible here.';

create function dbmail_mesh.had_tops(births bigint[], mailboxes bigint[])
returns table (mailbox_idnr bigint, top bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  with lacked as materialized (
    select b.birth, dbmail_mesh.row_of(b.birth) as row_idnr from unnest(births) as b(birth)
  )
  select m.id,
         greatest((select max(x.message_idnr) from public.dbmail_messages x
                   where x.mailbox_idnr = m.id and x.message_idnr < 281474976710656
                     and x.message_idnr not in (select l.row_idnr from lacked l)),
                  (select max(t.uid) from dbmail_mesh.tombstone t
                   where t.mailbox_idnr = m.id and t.birth_uid not in (select l.birth from lacked l)),
                  (select max(w.uid) from dbmail_mesh.late w
                   where w.mailbox_idnr = m.id and w.birth_uid not in (select l.birth from lacked l)),
                  0)
  from unnest(mailboxes) as m(id)
$$;
comment on function dbmail_mesh.had_tops is 'The highest UID that is, or was, in mailboxes, but for messages that a node which is gone had not acknowledged: what it may have shown.';

create function dbmail_mesh.mailboxes_of(births bigint[]) returns setof bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select distinct g.mailbox_idnr
  from unnest(births) as b(birth) join public.dbmail_messages g on g.message_idnr = dbmail_mesh.row_of(b.birth)
  where g.status < 2 and g.message_idnr < 281474976710656
$$;
comment on function dbmail_mesh.mailboxes_of is 'The mailboxes in which these messages are visible.';

-- Of what the node that is gone got from one node it had whatever that had delivered before. So a message is not passed by another that it
-- may have got, if both were born on the same node; a number of a settlement says nothing of the order.
create function dbmail_mesh.passed_by(births bigint[], ats timestamptz[], may_have boolean[], mailboxes bigint[], tops bigint[])
returns table (birth_uid bigint, at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  with lacked as materialized (
    select b.birth, b.at, b.may_have, g.message_idnr, g.mailbox_idnr, mod(g.message_idnr, n.stride) as class,
           g.message_idnr <> b.birth as settled
    from unnest(births, ats, may_have) as b(birth, at, may_have)
    cross join dbmail_mesh.local_node n
    join public.dbmail_messages g on g.message_idnr = dbmail_mesh.row_of(b.birth)
    where g.status < 2 and g.message_idnr < 281474976710656
  ), may_have_had as (
    select l.mailbox_idnr, l.class, l.settled, max(l.message_idnr) as top
    from lacked l where l.may_have
    group by l.mailbox_idnr, l.class, l.settled
  )
  select l.birth, l.at
  from lacked l
  where l.message_idnr < (select max(h.top) from unnest(mailboxes, tops) as h(mailbox, top) where h.mailbox = l.mailbox_idnr)
     or l.message_idnr < (select max(m.top) from may_have_had m
                          where m.mailbox_idnr = l.mailbox_idnr and (m.class <> l.class or m.settled or l.settled))
  order by l.birth
$$;
comment on function dbmail_mesh.passed_by is 'Of messages that a node which is gone had not acknowledged, with the time when each became visible: those that lie below one that it may have shown. The tops are those of had_tops, of all nodes that could be asked.';

create function dbmail_mesh.queue_visible(births bigint[], ats timestamptz[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  queued bigint;
begin
  -- The rows are locked: one that is being expunged either is dead by now, or its expunge sees the entry.
  with locked as (
    select g.message_idnr, g.mailbox_idnr from public.dbmail_messages g
    where g.message_idnr in (select dbmail_mesh.row_of(b.birth) from unnest(births) as b(birth)) and g.status < 2
    order by g.message_idnr for no key update
  )
  insert into dbmail_mesh.late (birth_uid, mailbox_idnr, uid, row_idnr, first_seen)
  select b.birth, k.mailbox_idnr, k.message_idnr, k.message_idnr, least(b.at, clock_timestamp())
  from unnest(births, ats) as b(birth, at) join locked k on k.message_idnr = dbmail_mesh.row_of(b.birth)
  order by b.birth
  on conflict do nothing;
  get diagnostics queued = row_count;
  return queued;
end
$$;
comment on function dbmail_mesh.queue_visible is 'Queues messages for renumbering that are visible here, counted as seen from the times given. Returns how many.';

-- Whoever has logged in already is told to the peers.
insert into dbmail_mesh.outbox (kind, key)
select 'u', a.id from dbmail_mesh.account a join dbmail_mesh.presence p on p.user_idnr = a.user_idnr and p.seen_at < 'infinity'
where exists (select from dbmail_mesh.peer)
order by a.id;

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (18, 'moved_readers');
