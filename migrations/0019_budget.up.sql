-- dbmail-mesh 0019: how fast numbers are used up, and sequences that jump a gap and do not run ahead of each other.

set local lock_timeout = '250ms';

create function dbmail_mesh.numbers_in_use(out uid bigint, out physmessage_id bigint, out mailbox_idnr bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select greatest(n.uid_floor, case when u.is_called then u.last_value end,
                  (select max(g.message_idnr) from public.dbmail_messages g where g.message_idnr < 281474976710656)),
         greatest(case when p.is_called then p.last_value end, (select max(i.id) from public.dbmail_physmessage i), 0),
         greatest(case when b.is_called then b.last_value end, (select max(m.mailbox_idnr) from public.dbmail_mailboxes m), 0)
  from dbmail_mesh.local_node n
  cross join public.dbmail_message_idnr_seq u
  cross join public.dbmail_physmessage_id_seq p
  cross join public.dbmail_mailbox_idnr_seq b
$$;
comment on function dbmail_mesh.numbers_in_use is 'The highest UID, dbmail_physmessage.id and mailbox_idnr that were handed out or seen here. Cheap: backwards through primary keys.';

create table dbmail_mesh.number_sample (
  at timestamptz primary key default clock_timestamp(),
  uid bigint not null,
  physmessage_id bigint not null,
  mailbox_idnr bigint not null
);
comment on table dbmail_mesh.number_sample is 'How far numbers had been used up, at times: hourly for eight days, daily for 400, and the first. The worker writes it; status and plan tell from it when numbers end.';
comment on column dbmail_mesh.number_sample.at is 'When, by this node''s clock.';
comment on column dbmail_mesh.number_sample.uid is 'The highest UID that was handed out or seen here.';
comment on column dbmail_mesh.number_sample.physmessage_id is 'The highest dbmail_physmessage.id here.';
comment on column dbmail_mesh.number_sample.mailbox_idnr is 'The highest dbmail_mailboxes.mailbox_idnr that was handed out or seen here.';

create function dbmail_mesh.sample_numbers(moment timestamptz) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from dbmail_mesh.number_sample s where s.at > moment - interval '1 hour' and s.at <= moment) then
    return false;
  end if;
  -- Those of a clock that went wrong; and of a new node what a first copy burns, which says nothing of the days to come.
  delete from dbmail_mesh.number_sample s where s.at > moment;
  if exists (select from dbmail_mesh.cursor c where c.copy_stage is not null)
     and not exists (select from dbmail_mesh.number_sample s where s.at < moment - interval '7 days') then
    delete from dbmail_mesh.number_sample;
  end if;
  insert into dbmail_mesh.number_sample (at, uid, physmessage_id, mailbox_idnr)
  select moment, n.uid, n.physmessage_id, n.mailbox_idnr from dbmail_mesh.numbers_in_use() n
  on conflict do nothing;
  -- What is old is thinned to the first of each day, and the first of all stays.
  delete from dbmail_mesh.number_sample s
  where s.at < moment - interval '8 days'
    and s.at > (select min(f.at) from dbmail_mesh.number_sample f)
    and (s.at < moment - interval '400 days'
         or exists (select from dbmail_mesh.number_sample o
                    where o.at < s.at and o.at >= date_trunc('day', s.at, 'UTC')));
  return true;
end
$$;
comment on function dbmail_mesh.sample_numbers is 'Notes how far numbers are used up, at most once an hour, and thins what is old; returns whether it did.';

-- A sequence only moves forward, mostly by nextval. Where that would take long (deliveries wait for it), it jumps by setval, which on
-- its own could take it back behind a nextval of the same moment, and a number would be handed out twice. So each nextval is made
-- under a shared lock, and the check and the setval together under the exclusive one. That is only tried for: nobody queues
-- for it, so nobody waits behind it. Locks of the session, for those of the transaction would be held until a delivery ends; one
-- expression takes it, does its work and lets go, and is not interrupted.
create function dbmail_mesh.draw_uid() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  locked text;
  drawn bigint;
  unlocked boolean;
begin
  select pg_advisory_lock_shared(1684169069, 2)::text, nextval('public.dbmail_message_idnr_seq'),
         pg_advisory_unlock_shared(1684169069, 2)
    into locked, drawn, unlocked;
  return drawn;
end
$$;
comment on function dbmail_mesh.draw_uid is 'The next UID of this node''s class.';

create function dbmail_mesh.jump_to_uid(uid bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return case when pg_try_advisory_lock(1684169069, 2) then
    case when case when pg_sequence_last_value('public.dbmail_message_idnr_seq') >= uid then true
                   else setval('public.dbmail_message_idnr_seq', uid) is not null end
         then pg_advisory_unlock(1684169069, 2) end
    else false end;
exception when query_canceled or others then
  -- Deliveries wait for whoever has it.
  perform pg_advisory_unlock(1684169069, 2);
  raise;
end
$$;
comment on function dbmail_mesh.jump_to_uid is 'Moves the sequence of UIDs forward to a number of this node''s class, never back. Returns false, and has done nothing, when somebody draws at this moment.';

create or replace function dbmail_mesh.next_uid(above bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  step bigint := (select n.stride from dbmail_mesh.local_node n);
  drawn bigint := dbmail_mesh.draw_uid();
  due bigint := 0;
begin
  while drawn <= above loop
    -- Less than a hundred numbers are drawn sooner than jumped. Somebody else's draw is over in no time: it is tried again.
    if (above - drawn) / step >= 100 and due <= 0 then
      due := case when dbmail_mesh.jump_to_uid(drawn + (above - drawn) / step * step) then 0 else 10 end;
    end if;
    due := due - 1;
    drawn := dbmail_mesh.draw_uid();
  end loop;
  return drawn;
end
$$;

-- UIDs need not be in the order of time but within a mailbox, and that is the line's business. A sequence that stays a little behind
-- gives out numbers in the gaps that the busier nodes leave, and the mesh's highest UID goes up by one stride for each message
-- of its busiest node. Were all sequences kept level, each message of any node would take it up by half a stride on the average.
create or replace function dbmail_mesh.keep_up(uid bigint, mailbox bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  step bigint := (select stride from dbmail_mesh.local_node);
  behind_max bigint := 1000 * step;
  last_uid bigint := (select last_value from public.dbmail_message_idnr_seq);
  last_mailbox bigint := (select last_value from public.dbmail_mailbox_idnr_seq);
begin
  if last_uid < uid - behind_max then
    perform dbmail_mesh.next_uid(uid - behind_max);
  end if;
  -- dbmail draws these by itself, so they are not jumped. A gap is closed over several calls: a long loop has no business in a short one.
  if last_mailbox < mailbox then
    perform dbmail_mesh.draw_above('public.dbmail_mailbox_idnr_seq', step, least(mailbox - step, last_mailbox + 100000 * step));
  end if;
end
$$;
comment on function dbmail_mesh.keep_up is 'Moves this node''s sequences towards ids that came from elsewhere: that of UIDs stays at most a thousand steps behind, and a new mailbox never gets a lower UIDVALIDITY than an old one of its name.';

do $$
begin
  perform dbmail_mesh.sample_numbers(clock_timestamp());
end
$$;

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (19, 'budget');
