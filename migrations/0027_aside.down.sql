-- dbmail-mesh 0027, down.

set local lock_timeout = '250ms';

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
  raise exception 'a row of a small table was made on this node in the meantime: %', sqlerrm using errcode = 'serialization_failure';
end
$$;
drop function dbmail_mesh.may_have_been_taken(text, text);
drop function dbmail_mesh.retry(smallint, text, bigint[]);
drop view dbmail_mesh.aside;
drop index dbmail_mesh.set_aside_by_next_try;
alter table dbmail_mesh.set_aside drop column sqlstate, drop column waits, drop column tries, drop column next_try;

create or replace function dbmail_mesh.headername(name text) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  found_id bigint;
begin
  select n.id into found_id from public.dbmail_headername n where lower(n.headername) = lower(name);
  if found_id is null then
    raise exception 'header name % is not here any more', quote_literal(name) using errcode = 'serialization_failure';
  end if;
  return found_id;
end
$$;

delete from dbmail_mesh.migration where version = 27;
