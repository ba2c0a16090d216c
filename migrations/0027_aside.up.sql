-- dbmail-mesh 0027: rows that were set aside, with what PostgreSQL said, how often they were tried, and when they are tried next.
--
-- A row that the target refuses may be refused for ever, and there may be a hundred thousand of them: each is tried again after a while
-- that doubles every time, up to an hour. One that waits for something else to come is tried when that may have come, and every minute.

set local lock_timeout = '250ms';

alter table dbmail_mesh.set_aside
  add column sqlstate text,
  add column waits boolean not null default true,
  add column tries integer not null default 1,
  add column next_try timestamptz not null default clock_timestamp();
comment on table dbmail_mesh.set_aside is 'Rows of a source that could not be joined here. The link goes on without them. They are tried again: by themselves, and when somebody says so (dbmail_mesh.retry).';
comment on column dbmail_mesh.set_aside.kind is 'u: account.id of the source; b: mailbox_idnr; e: entry.id of the source; m: a message, by its birth UID; s: the HIGHESTMODSEQ of a mailbox, by mailbox_idnr.';
comment on column dbmail_mesh.set_aside.reason is 'Why: one line, without anything of what stands in the row. "corrupt: …": what the source told cannot be true, and nobody has tried to write it.';
comment on column dbmail_mesh.set_aside.sqlstate is 'The SQLSTATE with which PostgreSQL refused it, on this node or, while it was being read, on the source; null: PostgreSQL was not asked.';
comment on column dbmail_mesh.set_aside.waits is 'True: it waits for a mailbox, or an account, that is not here. False: it was refused.';
comment on column dbmail_mesh.set_aside.tries is 'How often it was tried.';
comment on column dbmail_mesh.set_aside.next_try is 'When it is tried next, if the link is at work then.';
create index set_aside_by_next_try on dbmail_mesh.set_aside (source_id, next_try);

-- By kind and age, for whoever asks by hand; the table has one row each.
create view dbmail_mesh.aside as
select a.source_id, coalesce(p.node_name, 'node ' || a.source_id) as source,
       case a.kind when 'u' then 'user' when 'b' then 'mailbox' when 'e' then 'entry' when 's' then 'modseq' else 'message' end as kind,
       a.key, a.waits, a.sqlstate, a.reason, a.first_seen, a.last_tried, a.tries, a.next_try
from dbmail_mesh.set_aside a
left join dbmail_mesh.peer p on p.node_id = a.source_id;
comment on view dbmail_mesh.aside is 'Rows of sources that could not be joined here, and are tried again: "dbmail-mesh aside" also tells what they are called on their source.';
comment on column dbmail_mesh.aside.source_id is 'The source node.';
comment on column dbmail_mesh.aside.source is 'Its name.';
comment on column dbmail_mesh.aside.kind is 'user, mailbox, entry, message, or modseq (the HIGHESTMODSEQ of a mailbox).';
comment on column dbmail_mesh.aside.key is 'account.id or entry.id of the source; mailbox_idnr; a message by its birth UID.';
comment on column dbmail_mesh.aside.waits is 'As in set_aside.';
comment on column dbmail_mesh.aside.sqlstate is 'As in set_aside.';
comment on column dbmail_mesh.aside.reason is 'As in set_aside.';
comment on column dbmail_mesh.aside.first_seen is 'When it was first tried.';
comment on column dbmail_mesh.aside.last_tried is 'When it was last tried.';
comment on column dbmail_mesh.aside.tries is 'How often.';
comment on column dbmail_mesh.aside.next_try is 'When it is tried next.';

create function dbmail_mesh.retry(source smallint default null, kind text default null, keys bigint[] default null) returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  with chosen as (
    update dbmail_mesh.set_aside a set next_try = clock_timestamp()
    from dbmail_mesh.aside v
    where v.source_id = a.source_id and v.key = a.key
      and v.kind = case a.kind when 'u' then 'user' when 'b' then 'mailbox' when 'e' then 'entry' when 's' then 'modseq' else 'message' end
      and ($1 is null or a.source_id = $1) and ($2 is null or v.kind = $2) and ($3 is null or a.key = any ($3))
    returning 1
  )
  select count(*) from chosen
$$;
comment on function dbmail_mesh.retry is 'Has rows that were set aside tried within seconds: all, or those of a source, of a kind (as in aside), with these keys. Returns how many.';

-- A name that dbmail has just taken is seen by the next try. A constraint that the DBA has added says the same every time: the row is
-- refused, and nobody waits for it.
create function dbmail_mesh.may_have_been_taken(of_table text, of_constraint text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select of_table is null or of_table not like 'dbmail\_%' or exists (
    select from pg_index i
    join pg_class x on x.oid = i.indexrelid
    join pg_class t on t.oid = i.indrelid
    where t.relnamespace = 'public'::regnamespace and t.relname = of_table and x.relname = of_constraint
      and (of_table, (select string_agg(a.attname, ' ' order by k.place)
                      from unnest(i.indkey::smallint[]) with ordinality k(attnum, place)
                      join pg_attribute a on a.attrelid = t.oid and a.attnum = k.attnum)) in (
        ('dbmail_users', 'user_idnr'), ('dbmail_users', 'userid'),
        ('dbmail_mailboxes', 'mailbox_idnr'), ('dbmail_mailboxes', 'owner_idnr name'),
        ('dbmail_aliases', 'alias_idnr'), ('dbmail_usermap', 'login sock_allow userid'),
        ('dbmail_acl', 'user_id mailbox_id'), ('dbmail_subscription', 'user_id mailbox_id'),
        ('dbmail_sievescripts', 'id'), ('dbmail_sievescripts', 'owner_idnr name'), ('dbmail_filters', 'user_id id'),
        ('dbmail_auto_replies', 'user_idnr'), ('dbmail_auto_notifications', 'user_idnr')))
$$;
comment on function dbmail_mesh.may_have_been_taken is 'Whether a unique constraint that was violated is one of dbmail''s own, so that a session of dbmail may have been first, or one that the DBA has added.';

-- As before, but where a name is taken they look whether dbmail can have taken it.
create or replace function dbmail_mesh.write_mailbox_rows(rows jsonb) returns void
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
  declare
    of_table text;
    of_constraint text;
  begin
    get stacked diagnostics of_table = table_name, of_constraint = constraint_name;
    if not dbmail_mesh.may_have_been_taken(of_table, of_constraint) then
      raise;
    end if;
  end;
  -- dbmail has just made, or renamed, one of the same name: the next try sees it.
  raise exception 'a mailbox of that name has just come into being'
    using errcode = 'serialization_failure', detail = sqlerrm, hint = 'It is tried again.';
end
$$;

create or replace function dbmail_mesh.write_accounts(plan jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  source smallint := (plan ->> 'origin')::smallint;
begin
  -- Deaths: a user who is here stays until his mail is put aside; one who is not is gone at once.
  insert into dbmail_mesh.account as a (born_as, generation, died_at, gone_in, source_id, source_xid, relayed)
  select e.born_as, e.generation, clock_timestamp(), pg_current_xact_id(), source, e.gone_in::xid8,
         coalesce((plan ->> 'relayed')::boolean, false)
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, dies boolean, gone_in text)
  where e.dies
  order by e.born_as, e.generation
  on conflict (born_as, generation) do update
    set died_at = excluded.died_at, source_id = excluded.source_id, source_xid = excluded.source_xid, relayed = excluded.relayed
    where a.died_at is null;

  -- Names may be swapped, and the index does not wait for the end: out of the way first.
  update public.dbmail_users u set userid = '@!dbmail-mesh!@ ' || u.user_idnr
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, is_new boolean, vals text[])
  join dbmail_mesh.account a on a.born_as = e.born_as and a.generation = e.generation
  where not e.is_new and u.user_idnr = a.user_idnr and u.userid <> e.vals[1];
  update public.dbmail_users u
  set userid = e.vals[1], passwd = e.vals[2]::jsonb ->> 0, encryption_type = e.vals[2]::jsonb ->> 1, spasswd = e.vals[2]::jsonb ->> 2,
      maxmail_size = e.vals[3]::bigint, maxsieve_size = e.vals[4]::bigint, client_idnr = e.vals[5]::bigint,
      saction = e.vals[6]::smallint, active = e.vals[7]::smallint
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, is_new boolean, vals text[])
  join dbmail_mesh.account a on a.born_as = e.born_as and a.generation = e.generation
  where not e.is_new and u.user_idnr = a.user_idnr and e.vals is not null;

  with made as (
    insert into public.dbmail_users (userid, passwd, encryption_type, spasswd, maxmail_size, maxsieve_size, client_idnr, saction, active)
    select e.vals[1], e.vals[2]::jsonb ->> 0, e.vals[2]::jsonb ->> 1, e.vals[2]::jsonb ->> 2, e.vals[3]::bigint, e.vals[4]::bigint,
           e.vals[5]::bigint, e.vals[6]::smallint, e.vals[7]::smallint
    from jsonb_to_recordset(plan -> 'rows') as e(is_new boolean, vals text[])
    where e.is_new and e.vals is not null
    order by e.vals[1]
    returning user_idnr, userid
  )
  insert into dbmail_mesh.account (born_as, generation, user_idnr)
  select e.born_as, e.generation, m.user_idnr
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, is_new boolean, vals text[])
  join made m on m.userid = e.vals[1]
  where e.is_new
  order by e.born_as, e.generation;

  update dbmail_mesh.account a
  set userid_stamp = e.stamps[1], credentials_stamp = e.stamps[2], maxmail_stamp = e.stamps[3], maxsieve_stamp = e.stamps[4],
      client_stamp = e.stamps[5], saction_stamp = e.stamps[6], active_stamp = e.stamps[7]
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, stamps bigint[])
  where a.born_as = e.born_as and a.generation = e.generation and e.stamps is not null;

  -- What came over the link is noted with its origin; a name that was taken away is a decision of this node's.
  insert into dbmail_mesh.outbox (kind, key, origin)
  select 'u', a.id, case when not e.own then source end
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, own boolean)
  join dbmail_mesh.account a on a.born_as = e.born_as and a.generation = e.generation
  order by a.id;
  if jsonb_path_exists(plan, '$.rows[*] ? (@.own == true)') then
    perform dbmail_mesh.ring();
  end if;
exception when unique_violation then
  declare
    of_table text;
    of_constraint text;
  begin
    get stacked diagnostics of_table = table_name, of_constraint = constraint_name;
    if not dbmail_mesh.may_have_been_taken(of_table, of_constraint) then
      raise;
    end if;
  end;
  -- A session of dbmail has just taken the name, or created the user: look again.
  raise exception 'a userid was taken on this node in the meantime: %', sqlerrm using errcode = 'serialization_failure';
end
$$;

create or replace function dbmail_mesh.write_entries(plan jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  source smallint := (plan ->> 'origin')::smallint;
  written bigint;
  made bigint;
begin
  perform from public.dbmail_users u
  where u.user_idnr in (select a.user_idnr from jsonb_to_recordset(plan -> 'rows') as e(key jsonb)
                        join dbmail_mesh.account a on a.account = e.key ->> 'account')
  order by u.user_idnr for key share;
  perform from public.dbmail_mailboxes m
  where m.mailbox_idnr in (select (e.key ->> 'mailbox')::bigint from jsonb_to_recordset(plan -> 'rows') as e(key jsonb))
  order by m.mailbox_idnr for key share;

  -- Only what is still as it was seen: dbmail may have written it since.
  update dbmail_mesh.entry t
  set stamp = e.stamp, present = e.present, value = coalesce(e.value, t.value), dropped_in = null, stamp_before = null
  from jsonb_to_recordset(plan -> 'rows') as e(kind text, key jsonb, stamp bigint, present boolean, value jsonb, seen bigint)
  where t.kind = e.kind and t.key = e.key and t.stamp = e.seen;
  get diagnostics written = row_count;
  insert into dbmail_mesh.entry (kind, key, stamp, present, value)
  select e.kind, e.key, e.stamp, e.present, coalesce(e.value, '{}')
  from jsonb_to_recordset(plan -> 'rows') as e(kind text, key jsonb, stamp bigint, present boolean, value jsonb, seen bigint)
  where e.seen is null
  order by e.kind, e.key
  on conflict do nothing;
  get diagnostics made = row_count;
  if written + made <> jsonb_array_length(plan -> 'rows') then
    raise exception 'an entry was changed on this node in the meantime' using errcode = 'serialization_failure';
  end if;

  perform dbmail_mesh.write_entry_rows(plan -> 'rows');

  insert into dbmail_mesh.outbox (kind, key, origin)
  select 'e', t.id, case when not e.own then source end
  from jsonb_to_recordset(plan -> 'rows') as e(kind text, key jsonb, own boolean)
  join dbmail_mesh.entry t on t.kind = e.kind and t.key = e.key
  order by t.id;
  if jsonb_path_exists(plan, '$.rows[*] ? (@.own == true)') then
    perform dbmail_mesh.ring();
  end if;
exception when unique_violation then
  declare
    of_table text;
    of_constraint text;
  begin
    get stacked diagnostics of_table = table_name, of_constraint = constraint_name;
    if not dbmail_mesh.may_have_been_taken(of_table, of_constraint) then
      raise;
    end if;
  end;
  raise exception 'a row of a small table was made on this node in the meantime: %', sqlerrm using errcode = 'serialization_failure';
end
$$;

-- As before, but what it says has nothing of a message in it.
create or replace function dbmail_mesh.headername(name text) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  found_id bigint;
begin
  select n.id into found_id from public.dbmail_headername n where lower(n.headername) = lower(name);
  if found_id is null then
    raise exception 'a header name is not here any more' using errcode = 'serialization_failure';
  end if;
  return found_id;
end
$$;

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (27, 'aside');
