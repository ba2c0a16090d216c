-- dbmail-mesh 0013: how a mailbox, or a user, that is to go leaves this node.
--
-- Nothing is left to a cascade: the worker takes the messages out first, under the locks that deliveries take, a few at a time. Those of
-- a merged mailbox go into the one that has taken its place; those that whoever deleted a mailbox had not seen are rescued into INBOX;
-- those of a deleted user are kept aside, and listed (view kept_messages).

create index mailbox_fate_pending on dbmail_mesh.mailbox_fate (mailbox_idnr) where gone_in is null;
create index mailbox_register_selectable on dbmail_mesh.mailbox_register (mailbox_idnr) where no_select_stamp > 0;
create index account_pending on dbmail_mesh.account (id) where died_at is not null and gone_in is null;

create function dbmail_mesh.has_come(source smallint, xid xid8) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select source is null or xid is null or coalesce(
    (select c.copy_stage is null and pg_visible_in_snapshot(xid, c.from_snapshot) from dbmail_mesh.cursor c where c.source_id = source),
    true)
$$;
comment on function dbmail_mesh.has_come is 'Whether all that a source did up to the end of one of its transactions has been applied here.';

create function dbmail_mesh.messages_of_doomed(mailbox bigint, most bigint) returns setof bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Each part is cut before it is sorted, and before births are looked up: the mailbox may be large.
  (select dbmail_mesh.birth_of(x.message_idnr)
   from (select g.message_idnr
         from public.dbmail_messages g
         where g.mailbox_idnr = mailbox and g.status < 2 and g.message_idnr < 281474976710656
           and not exists (select from dbmail_mesh.late l where l.row_idnr = g.message_idnr)
         limit most) x)
  union all
  -- Last: what is kept aside for a deleted user stays on this list.
  (select l.birth_uid from dbmail_mesh.late l where l.mailbox_idnr = mailbox limit most)
  limit most
$$;
comment on function dbmail_mesh.messages_of_doomed is 'Messages that have to be taken out of a mailbox that is to go, and that do not wait for a UID in another one already.';

create function dbmail_mesh.doomed(most bigint)
returns table (kind "char", id bigint)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  (select 'u'::"char", a.id
   from dbmail_mesh.account a
   where a.died_at is not null and a.gone_in is null and dbmail_mesh.has_come(a.source_id, a.source_xid)
   order by a.id limit most)
  union all
  (select 'b', f.mailbox_idnr
   from dbmail_mesh.mailbox_fate f
   where f.gone_in is null and (f.merged_into is not null or dbmail_mesh.has_come(f.source_id, f.source_xid))
   order by f.mailbox_idnr limit most)
  union all
  (select 'n', r.mailbox_idnr
   from dbmail_mesh.mailbox_register r
   where r.no_select_stamp > 0 and dbmail_mesh.is_mere_name(r.mailbox_idnr)
     and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = r.mailbox_idnr)
     and exists (select from dbmail_mesh.messages_of_doomed(r.mailbox_idnr, 1))
   order by r.mailbox_idnr limit most)
  union all
  -- Hidden in a mailbox that has gone since, whose owner is here. What is kept aside for deleted users stays for as long as anybody
  -- likes: their mailboxes are passed over, one step of the index each.
  (with recursive hidden(id) as (
     select min(l.mailbox_idnr) from dbmail_mesh.late l
     union all
     select (select min(l.mailbox_idnr) from dbmail_mesh.late l where l.mailbox_idnr > h.id) from hidden h where h.id is not null
   )
   select 'b'::"char", h.id
   from hidden h join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = h.id
   where f.gone_in is not null and (select p.verdict in ('m', 'r') from dbmail_mesh.place_of(h.id) p)
   limit most)
$$;
comment on function dbmail_mesh.doomed is 'What is to leave this node now: u accounts, b mailboxes, n messages of mailboxes that no client can select any more.';

create function dbmail_mesh.remove_mailbox(mailbox bigint) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- From here on no delivery gets in.
  perform from public.dbmail_mailboxes m where m.mailbox_idnr = mailbox for update;
  if exists (select from public.dbmail_messages g where g.mailbox_idnr = mailbox and g.status < 2) then
    return 'occupied';
  end if;
  delete from public.dbmail_messages g
  where g.message_idnr = any (array(select x.message_idnr from public.dbmail_messages x where x.mailbox_idnr = mailbox
                                    order by x.message_idnr limit 200));
  if found then
    return 'emptying';
  end if;
  perform dbmail_mesh.forget_mailbox(mailbox);
  delete from public.dbmail_mailboxes m where m.mailbox_idnr = mailbox;
  -- A row that had gone before its fate was written.
  update dbmail_mesh.mailbox_fate f set gone_in = pg_current_xact_id() where f.mailbox_idnr = mailbox and f.gone_in is null;
  return 'gone';
end
$$;
comment on function dbmail_mesh.remove_mailbox is 'Removes a mailbox from which all messages were taken. Tells occupied while there are some, emptying while rows of dead ones are left, gone.';

create function dbmail_mesh.remove_account(which bigint) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  dead dbmail_mesh.account;
begin
  select * into dead from dbmail_mesh.account a where a.id = which;
  -- From here on nobody makes a mailbox for him: it would go by the cascade, with what is delivered into it.
  perform from public.dbmail_users u where u.user_idnr = dead.user_idnr for update;
  insert into dbmail_mesh.mailbox_fate (mailbox_idnr, source_id, source_xid)
  select m.mailbox_idnr, dead.source_id, dead.source_xid from public.dbmail_mailboxes m where m.owner_idnr = dead.user_idnr
  on conflict do nothing;
  if exists (select from public.dbmail_mailboxes m where m.owner_idnr = dead.user_idnr) then
    return 'occupied';
  end if;
  perform dbmail_mesh.forget_account(dead.account);
  delete from public.dbmail_users u where u.user_idnr = dead.user_idnr;
  update dbmail_mesh.account a set gone_in = pg_current_xact_id() where a.id = which and a.gone_in is null;
  insert into dbmail_mesh.outbox (kind, key, origin)
  select 'u', which, coalesce(dead.source_id, n.node_id) from dbmail_mesh.local_node n;
  return 'gone';
end
$$;
comment on function dbmail_mesh.remove_account is 'Removes a user who was deleted elsewhere, once all his mailboxes are gone. Tells occupied until then, gone.';

create view dbmail_mesh.kept_messages as
select l.first_seen, a.account, a.born_as as userid, l.mailbox_idnr, l.birth_uid, g.unique_id, p.messagesize, p.internal_date,
       (select v.headervalue from public.dbmail_header h join public.dbmail_headername n on n.id = h.headername_id
          join public.dbmail_headervalue v on v.id = h.headervalue_id
        where h.physmessage_id = p.id and lower(n.headername) = 'from' order by v.id limit 1) as sender,
       (select v.headervalue from public.dbmail_header h join public.dbmail_headername n on n.id = h.headername_id
          join public.dbmail_headervalue v on v.id = h.headervalue_id
        where h.physmessage_id = p.id and lower(n.headername) = 'subject' order by v.id limit 1) as subject
from dbmail_mesh.late l
join public.dbmail_messages g on g.message_idnr = l.row_idnr
join public.dbmail_physmessage p on p.id = g.physmessage_id
join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = l.mailbox_idnr
left join dbmail_mesh.line i on i.mailbox_idnr = l.mailbox_idnr
left join dbmail_mesh.account a on a.user_idnr = i.owner_idnr
where l.row_idnr >= 281474976710656 and not exists (select from public.dbmail_users u where u.user_idnr = i.owner_idnr);
comment on view dbmail_mesh.kept_messages is 'Mail of users who were deleted, which had not been seen where they were deleted. Nobody is shown it. deliver_kept() gives a message to somebody, drop_kept() drops it.';
comment on column dbmail_mesh.kept_messages.first_seen is 'Since when it is kept here.';
comment on column dbmail_mesh.kept_messages.account is 'Whose it was.';
comment on column dbmail_mesh.kept_messages.userid is 'The userid under which he was created.';
comment on column dbmail_mesh.kept_messages.mailbox_idnr is 'The mailbox in which it was, or was to be.';
comment on column dbmail_mesh.kept_messages.birth_uid is 'The message: its first UID.';
comment on column dbmail_mesh.kept_messages.unique_id is 'dbmail_messages.unique_id.';
comment on column dbmail_mesh.kept_messages.messagesize is 'Its size in bytes.';
comment on column dbmail_mesh.kept_messages.internal_date is 'When it arrived.';
comment on column dbmail_mesh.kept_messages.sender is 'Its From field.';
comment on column dbmail_mesh.kept_messages.subject is 'Its Subject field.';

create function dbmail_mesh.drop_kept(birth bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  kept dbmail_mesh.late;
begin
  if not exists (select from dbmail_mesh.kept_messages k where k.birth_uid = birth) then
    return false;
  end if;
  delete from dbmail_mesh.late l where l.birth_uid = birth returning * into kept;
  insert into dbmail_mesh.tombstone (birth_uid, uid, mailbox_idnr) values (birth, kept.uid, kept.mailbox_idnr) on conflict do nothing;
  delete from public.dbmail_messages g where g.message_idnr = kept.row_idnr;
  perform dbmail_mesh.note('m', birth);
  return true;
end
$$;
comment on function dbmail_mesh.drop_kept is 'Drops a message of kept_messages, on every node. False: there is no such message.';

create function dbmail_mesh.deliver_kept(birth bigint, mailbox bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  delivered bigint;
begin
  if not exists (select from public.dbmail_mailboxes m where m.mailbox_idnr = mailbox) then
    raise exception 'there is no mailbox %', mailbox using hint = 'Choose a mailbox_idnr of dbmail_mailboxes.';
  end if;
  insert into public.dbmail_messages (mailbox_idnr, physmessage_id, seen_flag, answered_flag, deleted_flag, flagged_flag, recent_flag,
    draft_flag, unique_id, status)
  select mailbox, g.physmessage_id, g.seen_flag, g.answered_flag, 0, g.flagged_flag, 1, g.draft_flag, g.unique_id, 0
  from dbmail_mesh.kept_messages k
  join dbmail_mesh.late l on l.birth_uid = k.birth_uid
  join public.dbmail_messages g on g.message_idnr = l.row_idnr
  where k.birth_uid = birth
  returning message_idnr into delivered;
  if delivered is null then
    return null;
  end if;
  perform dbmail_mesh.drop_kept(birth);
  update public.dbmail_mailboxes m set seq = m.seq + 1 where m.mailbox_idnr = mailbox;
  update public.dbmail_messages g set seq = m.seq from public.dbmail_mailboxes m
  where g.message_idnr = delivered and m.mailbox_idnr = g.mailbox_idnr;
  update public.dbmail_users u set curmail_size = u.curmail_size + p.messagesize
  from public.dbmail_messages g
  join public.dbmail_physmessage p on p.id = g.physmessage_id
  join public.dbmail_mailboxes m on m.mailbox_idnr = g.mailbox_idnr
  where g.message_idnr = delivered and u.user_idnr = m.owner_idnr;
  return delivered;
end
$$;
comment on function dbmail_mesh.deliver_kept is 'Delivers a message of kept_messages into a mailbox, as a new one, and takes it off the list on every node. Returns its UID; null: there is no such message.';

-- What is in a mailbox that is to go waits for a place, not for a UID.
create or replace view dbmail_mesh.late_messages as
select l.first_seen, clock_timestamp() - l.first_seen as waiting, u.userid as owner, m.name as mailbox, l.mailbox_idnr, l.uid,
       l.birth_uid, l.row_idnr < 281474976710656 as is_visible, i.high
from dbmail_mesh.late l
left join dbmail_mesh.line i on i.mailbox_idnr = l.mailbox_idnr
left join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
left join public.dbmail_users u on u.user_idnr = coalesce(m.owner_idnr, i.owner_idnr)
where not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = l.mailbox_idnr);

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (13, 'fates');
