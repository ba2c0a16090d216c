-- dbmail-mesh 0009: mailboxes change, and end.
--
-- The name of a mailbox (with its owner), no_select, permission, and the other attributes together are a register each. Its end is
-- a join too: alive, then deleted, then merged into the highest; see mailbox_fate. What the names of several mailboxes mean for one
-- another is decided by the worker, which writes it by write_mailboxes.

set local lock_timeout = '250ms';

create table dbmail_mesh.mailbox_register (
  mailbox_idnr bigint primary key,
  name_stamp bigint not null default 0,
  renamed boolean not null default false,
  no_select_stamp bigint not null default 0,
  permission_stamp bigint not null default 0,
  rest_stamp bigint not null default 0
);
comment on table dbmail_mesh.mailbox_register is 'When what of a mailbox was changed last. No row: nothing, since the mailbox was adopted.';
comment on column dbmail_mesh.mailbox_register.mailbox_idnr is 'The mailbox.';
comment on column dbmail_mesh.mailbox_register.name_stamp is 'Stamp of its name and owner: that of its creation, or of the last rename.';
comment on column dbmail_mesh.mailbox_register.renamed is 'False: it has the name that it was created with.';
comment on column dbmail_mesh.mailbox_register.no_select_stamp is 'Stamp of no_select.';
comment on column dbmail_mesh.mailbox_register.permission_stamp is 'Stamp of permission.';
comment on column dbmail_mesh.mailbox_register.rest_stamp is 'Stamp of the six flags and no_inferiors, as one.';

create function dbmail_mesh.mailbox_of(wanted bigint) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  with recursive chain as (
    select wanted as id
    union
    select f.merged_into from chain c join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = c.id where f.merged_into is not null
  )
  select max(c.id) from chain c
$$;
comment on function dbmail_mesh.mailbox_of is 'The mailbox that another was merged into in the end (it may itself be deleted); the same when it was not.';

create function dbmail_mesh.is_staging_owner(owner bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select exists (select from public.dbmail_users u where u.user_idnr = owner and u.userid = '__@!internal_delivery_user!@__')
$$;
comment on function dbmail_mesh.is_staging_owner is 'Whether this is dbmail''s internal delivery user, whose mailboxes are each node''s own.';

create or replace function dbmail_mesh.capture_mailbox() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.line (mailbox_idnr, owner_idnr) values (new.mailbox_idnr, new.owner_idnr) on conflict do nothing;
  if current_setting('dbmail_mesh.applying', true) is distinct from 'on' and not dbmail_mesh.is_staging_owner(new.owner_idnr) then
    insert into dbmail_mesh.mailbox_register (mailbox_idnr, name_stamp) values (new.mailbox_idnr, dbmail_mesh.next_stamp(0))
    on conflict do nothing;
    perform dbmail_mesh.note('b', new.mailbox_idnr);
  end if;
  return null;
end
$$;

create function dbmail_mesh.capture_mailbox_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  moved boolean := (old.name, old.owner_idnr) is distinct from (new.name, new.owner_idnr);
begin
  if dbmail_mesh.is_staging_owner(new.owner_idnr) then
    return null;
  end if;
  insert into dbmail_mesh.mailbox_register (mailbox_idnr) values (new.mailbox_idnr) on conflict do nothing;
  update dbmail_mesh.mailbox_register r
  set name_stamp = case when moved then dbmail_mesh.next_stamp(r.name_stamp) else r.name_stamp end,
      renamed = r.renamed or moved,
      no_select_stamp = case when old.no_select is distinct from new.no_select
        then dbmail_mesh.next_stamp(r.no_select_stamp) else r.no_select_stamp end,
      permission_stamp = case when old.permission is distinct from new.permission
        then dbmail_mesh.next_stamp(r.permission_stamp) else r.permission_stamp end,
      rest_stamp = case when (old.seen_flag, old.answered_flag, old.deleted_flag, old.flagged_flag, old.recent_flag, old.draft_flag,
                              old.no_inferiors)
                             is distinct from (new.seen_flag, new.answered_flag, new.deleted_flag, new.flagged_flag, new.recent_flag,
                                               new.draft_flag, new.no_inferiors)
        then dbmail_mesh.next_stamp(r.rest_stamp) else r.rest_stamp end
  where r.mailbox_idnr = new.mailbox_idnr;
  if old.owner_idnr is distinct from new.owner_idnr then
    -- After the mailbox's own row, as a delivery does.
    update dbmail_mesh.line l set owner_idnr = new.owner_idnr where l.mailbox_idnr = new.mailbox_idnr;
  end if;
  perform dbmail_mesh.note('b', new.mailbox_idnr);
  return null;
end
$$;
comment on function dbmail_mesh.capture_mailbox_change is 'Stamps what was changed of a mailbox, and notes it.';

-- The fate is written for what the worker deletes too: a mailbox that was once here never comes into being again. That it has gone is
-- noted then with the node that told of it.
create function dbmail_mesh.capture_mailbox_end() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  told_by smallint;
begin
  if dbmail_mesh.is_staging_owner(old.owner_idnr) then
    return null;
  end if;
  insert into dbmail_mesh.mailbox_fate as f (mailbox_idnr, gone_in) values (old.mailbox_idnr, pg_current_xact_id())
  on conflict (mailbox_idnr) do update set gone_in = coalesce(f.gone_in, excluded.gone_in)
  returning f.source_id into told_by;
  if current_setting('dbmail_mesh.applying', true) is distinct from 'on' then
    perform dbmail_mesh.note('b', old.mailbox_idnr);
  else
    insert into dbmail_mesh.outbox (kind, key, origin) values ('b', old.mailbox_idnr, told_by);
  end if;
  return null;
end
$$;
comment on function dbmail_mesh.capture_mailbox_end is 'Writes down that a mailbox is gone, for ever, and notes it.';

create trigger _900_dbmail_mesh_changed
  after update of name, owner_idnr, no_select, permission, seen_flag, answered_flag, deleted_flag, flagged_flag, recent_flag, draft_flag,
    no_inferiors on public.dbmail_mailboxes
  for each row when (
    (old.name, old.owner_idnr, old.no_select, old.permission, old.seen_flag, old.answered_flag, old.deleted_flag, old.flagged_flag,
     old.recent_flag, old.draft_flag, old.no_inferiors)
    is distinct from
    (new.name, new.owner_idnr, new.no_select, new.permission, new.seen_flag, new.answered_flag, new.deleted_flag, new.flagged_flag,
     new.recent_flag, new.draft_flag, new.no_inferiors)
    and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_mailbox_change();
comment on trigger _900_dbmail_mesh_changed on public.dbmail_mailboxes is 'Notes a rename, and changed attributes, for the peers.';

-- After those of the foreign keys, whose names come first: what went with the mailbox is noted before it.
create trigger _900_dbmail_mesh_deleted after delete on public.dbmail_mailboxes
  for each row execute function dbmail_mesh.capture_mailbox_end();
comment on trigger _900_dbmail_mesh_deleted on public.dbmail_mailboxes is 'Writes down that a mailbox is gone, and notes it for the peers.';

create table dbmail_mesh.mailbox_conflict (
  id bigint generated always as identity primary key,
  what text not null,
  mailbox_idnr bigint not null,
  owner text,
  name text,
  new_name text,
  other_idnr bigint not null,
  decided_by smallint not null,
  seen_at timestamptz not null default clock_timestamp(),
  constraint mailbox_conflict_is_known check (what in ('merged', 'displaced'))
);
comment on table dbmail_mesh.mailbox_conflict is 'What was done about mailboxes of one name. View mailbox_conflicts shows it with names.';
comment on column dbmail_mesh.mailbox_conflict.id is 'Order on this node.';
comment on column dbmail_mesh.mailbox_conflict.what is 'merged: into the other, which has taken its place; displaced: it got another name, since the other was given its own later.';
comment on column dbmail_mesh.mailbox_conflict.mailbox_idnr is 'The mailbox that gave way.';
comment on column dbmail_mesh.mailbox_conflict.owner is 'The account that it belongs to; null when it never was here.';
comment on column dbmail_mesh.mailbox_conflict.name is 'The name that both had; null when it never was here.';
comment on column dbmail_mesh.mailbox_conflict.new_name is 'The name that it got; of a merged one null.';
comment on column dbmail_mesh.mailbox_conflict.other_idnr is 'The mailbox that it gave way to.';
comment on column dbmail_mesh.mailbox_conflict.decided_by is 'Node that decided so, or that told this node of it.';
comment on column dbmail_mesh.mailbox_conflict.seen_at is 'When this node decided so, or learned of it.';

create view dbmail_mesh.mailbox_conflicts as
select c.seen_at, c.what, coalesce(u.userid, c.owner) as owner, coalesce(c.name, o.name) as name, c.mailbox_idnr, c.new_name, c.other_idnr,
       o.name as other_is_now, c.decided_by, case when c.decided_by = n.node_id then n.node_name else p.node_name end as decided_on
from dbmail_mesh.mailbox_conflict c
cross join dbmail_mesh.local_node n
left join dbmail_mesh.peer p on p.node_id = c.decided_by
left join dbmail_mesh.line l on l.mailbox_idnr = c.mailbox_idnr
left join dbmail_mesh.account a on a.account = c.owner
left join public.dbmail_users u on u.user_idnr = coalesce(a.user_idnr, l.owner_idnr)
left join public.dbmail_mailboxes o on o.mailbox_idnr = dbmail_mesh.mailbox_of(c.other_idnr);
comment on view dbmail_mesh.mailbox_conflicts is 'Mailboxes of one name that two nodes made or renamed without knowing of one another, and what was done about it.';
comment on column dbmail_mesh.mailbox_conflicts.seen_at is 'When this node decided so, or learned of it.';
comment on column dbmail_mesh.mailbox_conflicts.what is 'merged: its messages go into the other; displaced: it got another name.';
comment on column dbmail_mesh.mailbox_conflicts.owner is 'userid of its owner, or the account when he is gone.';
comment on column dbmail_mesh.mailbox_conflicts.name is 'The name that both had.';
comment on column dbmail_mesh.mailbox_conflicts.mailbox_idnr is 'The mailbox that gave way.';
comment on column dbmail_mesh.mailbox_conflicts.new_name is 'The name that it got.';
comment on column dbmail_mesh.mailbox_conflicts.other_idnr is 'The mailbox that it gave way to.';
comment on column dbmail_mesh.mailbox_conflicts.other_is_now is 'What that one, or what it was merged into, is called now; null when it is gone.';
comment on column dbmail_mesh.mailbox_conflicts.decided_by is 'Number of the node that decided so, or that told this node of it.';
comment on column dbmail_mesh.mailbox_conflicts.decided_on is 'Name of that node.';

create function dbmail_mesh.mailbox_rows(rows jsonb)
returns table (id bigint, is_new boolean, is_shown boolean, is_moved boolean, owner_idnr bigint, name text, renamed boolean,
  no_select smallint, permission smallint, seen smallint, answered smallint, deleted smallint, flagged smallint, recent smallint,
  draft smallint, no_inferiors smallint, seq bigint, name_stamp bigint, no_select_stamp bigint, permission_stamp bigint,
  rest_stamp bigint, stamps_before bigint[])
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select e.id, e.is_new, e.is_shown, e.is_moved, dbmail_mesh.user_of(e.owner), e.name, e.renamed, e.no_select, e.permission, e.seen,
         e.answered, e.deleted, e.flagged, e.recent, e.draft, e.no_inferiors, e.seq, e.name_stamp, e.no_select_stamp, e.permission_stamp,
         e.rest_stamp, e.stamps_before
  from jsonb_to_recordset(rows) as e(id bigint, is_new boolean, is_shown boolean, is_moved boolean, owner text, name text,
    renamed boolean, no_select smallint, permission smallint, seen smallint, answered smallint, deleted smallint, flagged smallint,
    recent smallint, draft smallint, no_inferiors smallint, seq bigint, name_stamp bigint, no_select_stamp bigint,
    permission_stamp bigint, rest_stamp bigint, stamps_before bigint[])
$$;
comment on function dbmail_mesh.mailbox_rows is 'Part of write_mailboxes: the rows of a plan.';

-- dbmail goes on meanwhile: what the plan was made for must still be so.
create function dbmail_mesh.lock_planned_mailboxes(plan jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.dbmail_users u
  where u.user_idnr in (select e.owner_idnr from dbmail_mesh.mailbox_rows(plan -> 'rows') e) order by u.user_idnr for key share;
  perform from public.dbmail_mailboxes m
  where m.mailbox_idnr in (select e.id from dbmail_mesh.mailbox_rows(plan -> 'rows') e
                           union all select e.id from jsonb_to_recordset(plan -> 'fates') as e(id bigint))
  order by m.mailbox_idnr for update;
  if exists (
    select from dbmail_mesh.mailbox_rows(plan -> 'rows') e
    left join public.dbmail_mailboxes m on m.mailbox_idnr = e.id
    left join dbmail_mesh.mailbox_register r on r.mailbox_idnr = e.id
    where case when e.is_new then e.owner_idnr is null
               else m.mailbox_idnr is null
                    or e.stamps_before is distinct from array[coalesce(r.name_stamp, 0), coalesce(r.no_select_stamp, 0),
                                                              coalesce(r.permission_stamp, 0), coalesce(r.rest_stamp, 0)] end) then
    raise exception 'a mailbox was changed while the change of a peer was being joined'
      using errcode = 'serialization_failure', hint = 'It is tried again.';
  end if;
end
$$;
comment on function dbmail_mesh.lock_planned_mailboxes is 'Part of write_mailboxes: locks what it writes to, and refuses a plan that was made for something else.';

create function dbmail_mesh.write_mailbox_rows(rows jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- A name may pass from one to another, and back: first all let go.
  update public.dbmail_mailboxes m set name = format('__dbmail-mesh %s__', e.id)
  from dbmail_mesh.mailbox_rows(rows) e where m.mailbox_idnr = e.id and e.is_moved;
  insert into public.dbmail_mailboxes (mailbox_idnr, owner_idnr, name, seen_flag, answered_flag, deleted_flag, flagged_flag, recent_flag,
    draft_flag, no_inferiors, no_select, permission, seq)
  select e.id, e.owner_idnr, e.name, e.seen, e.answered, e.deleted, e.flagged, e.recent, e.draft, e.no_inferiors, e.no_select,
         e.permission, e.seq
  from dbmail_mesh.mailbox_rows(rows) e where e.is_new order by e.id;
  -- Open sessions look at seq, which is HIGHESTMODSEQ too: the peers are told, for clients of this node may come to them with it.
  with changed as (
    update public.dbmail_mailboxes m
    set owner_idnr = coalesce(e.owner_idnr, m.owner_idnr), name = e.name, seen_flag = e.seen, answered_flag = e.answered,
        deleted_flag = e.deleted, flagged_flag = e.flagged, recent_flag = e.recent, draft_flag = e.draft, no_inferiors = e.no_inferiors,
        no_select = e.no_select, permission = e.permission, seq = m.seq + 1
    from dbmail_mesh.mailbox_rows(rows) e where m.mailbox_idnr = e.id and e.is_shown and not e.is_new
    returning m.mailbox_idnr
  )
  insert into dbmail_mesh.outbox (kind, key) select 's', c.mailbox_idnr from changed c;
  update dbmail_mesh.line l set owner_idnr = m.owner_idnr
  from dbmail_mesh.mailbox_rows(rows) e join public.dbmail_mailboxes m on m.mailbox_idnr = e.id
  where l.mailbox_idnr = e.id and e.is_moved and l.owner_idnr is distinct from m.owner_idnr;
exception when unique_violation then
  -- dbmail has just made, or renamed, one of the same name: the next try sees it.
  raise exception 'a mailbox of that name has just come into being'
    using errcode = 'serialization_failure', detail = sqlerrm, hint = 'It is tried again.';
end
$$;
comment on function dbmail_mesh.write_mailbox_rows is 'Part of write_mailboxes: new rows, names, attributes.';

create function dbmail_mesh.write_mailbox_fates(fates jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.line (mailbox_idnr, owner_idnr)
  select e.id, dbmail_mesh.user_of(e.owner) from jsonb_to_recordset(fates) as e(id bigint, owner text) order by e.id
  on conflict do nothing;
  insert into dbmail_mesh.mailbox_fate as f (mailbox_idnr, merged_into, gone_in, source_id, source_xid)
  select e.id, e.merged_into, case when m.mailbox_idnr is null then pg_current_xact_id() end, e.source_id, e.source_xid::xid8
  from jsonb_to_recordset(fates) as e(id bigint, merged_into bigint, source_id smallint, source_xid text)
  left join public.dbmail_mailboxes m on m.mailbox_idnr = e.id
  order by e.id
  on conflict (mailbox_idnr) do update set merged_into = greatest(f.merged_into, excluded.merged_into);
  -- What else refers to a mailbox by its id (subscriptions, say) goes to the winner.
  perform dbmail_mesh.merge_entries(e.id, e.merged_into)
  from jsonb_to_recordset(fates) as e(id bigint, merged_into bigint)
  where e.merged_into is not null;
end
$$;
comment on function dbmail_mesh.write_mailbox_fates is 'Part of write_mailboxes: mailboxes that end. Their rows, if they are here, go later, when their messages have been taken out.';

create function dbmail_mesh.write_mailboxes(plan jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.lock_planned_mailboxes(plan);
  perform dbmail_mesh.write_mailbox_rows(plan -> 'rows');
  insert into dbmail_mesh.mailbox_register as r (mailbox_idnr, name_stamp, renamed, no_select_stamp, permission_stamp, rest_stamp)
  select e.id, e.name_stamp, e.renamed, e.no_select_stamp, e.permission_stamp, e.rest_stamp
  from dbmail_mesh.mailbox_rows(plan -> 'rows') e
  order by e.id
  on conflict (mailbox_idnr) do update set name_stamp = excluded.name_stamp, renamed = excluded.renamed,
    no_select_stamp = excluded.no_select_stamp, permission_stamp = excluded.permission_stamp, rest_stamp = excluded.rest_stamp;
  perform dbmail_mesh.write_mailbox_fates(plan -> 'fates');
  insert into dbmail_mesh.mailbox_conflict (what, mailbox_idnr, owner, name, new_name, other_idnr, decided_by)
  select e.what, e.id, e.owner, e.name, e.new_name, e.other, e.decided_by
  from jsonb_to_recordset(plan -> 'conflicts')
    as e(what text, id bigint, owner text, name text, new_name text, other bigint, decided_by smallint);
  -- In the order given: what frees a name comes before what takes it.
  insert into dbmail_mesh.outbox (kind, key, origin)
  select 'b', (e.note ->> 'id')::bigint, (e.note ->> 'origin')::smallint
  from jsonb_array_elements(plan -> 'notes') with ordinality e(note, nth)
  order by e.nth;
  if exists (select from jsonb_to_recordset(plan -> 'notes') as e(origin smallint) where e.origin is null) then
    perform dbmail_mesh.ring();
  end if;
end
$$;
comment on function dbmail_mesh.write_mailboxes is 'Writes what the worker decided for mailboxes.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (9, 'mailboxes');
