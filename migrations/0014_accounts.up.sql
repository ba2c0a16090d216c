-- dbmail-mesh 0014: what changes in accounts, and their deaths.
--
-- An account is a row of registers: the login name, the credentials, and each setting by itself, so that what two nodes change at once
-- both survives unless it is the same thing. Its death is final, and goes before everything else.

set local lock_timeout = '250ms';

alter table dbmail_mesh.account
  add column userid_stamp bigint not null default 0,
  add column renamed boolean not null generated always as (userid_stamp > 0) stored,
  add column credentials_stamp bigint not null default 0,
  add column maxmail_stamp bigint not null default 0,
  add column maxsieve_stamp bigint not null default 0,
  add column client_stamp bigint not null default 0,
  add column saction_stamp bigint not null default 0,
  add column active_stamp bigint not null default 0;
comment on column dbmail_mesh.account.userid_stamp is 'When and where dbmail_users.userid was written; 0: never since it was created. See stamped_at(), stamped_by().';
comment on column dbmail_mesh.account.renamed is 'Whether it ever had another userid than the one under which it was created.';
comment on column dbmail_mesh.account.credentials_stamp is 'The same of passwd, encryption_type and spasswd, which are written as one.';
comment on column dbmail_mesh.account.maxmail_stamp is 'The same of maxmail_size.';
comment on column dbmail_mesh.account.maxsieve_stamp is 'The same of maxsieve_size.';
comment on column dbmail_mesh.account.client_stamp is 'The same of client_idnr.';
comment on column dbmail_mesh.account.saction_stamp is 'The same of saction.';
comment on column dbmail_mesh.account.active_stamp is 'The same of active.';
create unique index account_by_name on dbmail_mesh.account (account);

-- last_login, curmail_size and cursieve_size are each node's own.
create view dbmail_mesh.account_state as
select a.id, a.account, a.born_as, a.generation, a.user_idnr,
       (case when a.gone_in is not null or u.user_idnr is null then 'd' when a.died_at is not null then 'p' else 'a' end)::"char" as state,
       a.gone_in::text as gone_in,
       array[a.userid_stamp, a.credentials_stamp, a.maxmail_stamp, a.maxsieve_stamp, a.client_stamp, a.saction_stamp,
             a.active_stamp] as stamps,
       array[u.userid, jsonb_build_array(u.passwd, u.encryption_type, u.spasswd)::text, u.maxmail_size::text, u.maxsieve_size::text,
             u.client_idnr::text, u.saction::text, u.active::text]::text[] as vals
from dbmail_mesh.account a
left join public.dbmail_users u on u.user_idnr = a.user_idnr;
comment on view dbmail_mesh.account_state is 'Accounts with what is replicated of them, as links read and join it.';
comment on column dbmail_mesh.account_state.id is 'As in account.';
comment on column dbmail_mesh.account_state.account is 'As in account.';
comment on column dbmail_mesh.account_state.born_as is 'As in account.';
comment on column dbmail_mesh.account_state.generation is 'As in account.';
comment on column dbmail_mesh.account_state.user_idnr is 'As in account.';
comment on column dbmail_mesh.account_state.state is 'a: alive; p: dead, but still here, because the mail is being put aside; d: gone.';
comment on column dbmail_mesh.account_state.gone_in is 'As in account.';
comment on column dbmail_mesh.account_state.stamps is 'The stamps of userid, credentials, maxmail_size, maxsieve_size, client_idnr, saction, active, in this order.';
comment on column dbmail_mesh.account_state.vals is 'Their values as text, in the same order; credentials as a JSON array of passwd, encryption_type, spasswd.';

-- Capture. No error of ours may fail a statement of dbmail's: what cannot be noted is left to the next change, and the log says so.

create or replace function dbmail_mesh.capture_user() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known bigint;
begin
  -- A row that was put back under its old number is a new account.
  update dbmail_mesh.account set user_idnr = null where user_idnr = new.user_idnr and died_at is not null;
  -- A link may be writing down an account of that name at this very moment: then this is the next one.
  for tries in 1..5 loop
    insert into dbmail_mesh.account (born_as, generation, user_idnr)
    select new.userid, 1 + coalesce(max(a.generation), 0), new.user_idnr from dbmail_mesh.account a where a.born_as = new.userid
    on conflict do nothing
    returning id into known;
    exit when known is not null;
  end loop;
  if known is not null then
    perform dbmail_mesh.note('u', known);
  end if;
  return null;
exception when others then
  raise warning 'dbmail-mesh: the new user % could not be noted: %', new.userid, sqlerrm;
  return null;
end
$$;

create function dbmail_mesh.capture_user_change() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known bigint;
begin
  update dbmail_mesh.account a set
    userid_stamp = case when new.userid is distinct from old.userid then dbmail_mesh.next_stamp(a.userid_stamp) else a.userid_stamp end,
    credentials_stamp = case when (new.passwd, new.encryption_type, new.spasswd)
                                  is distinct from (old.passwd, old.encryption_type, old.spasswd)
                             then dbmail_mesh.next_stamp(a.credentials_stamp) else a.credentials_stamp end,
    maxmail_stamp = case when new.maxmail_size is distinct from old.maxmail_size
                         then dbmail_mesh.next_stamp(a.maxmail_stamp) else a.maxmail_stamp end,
    maxsieve_stamp = case when new.maxsieve_size is distinct from old.maxsieve_size
                          then dbmail_mesh.next_stamp(a.maxsieve_stamp) else a.maxsieve_stamp end,
    client_stamp = case when new.client_idnr is distinct from old.client_idnr
                        then dbmail_mesh.next_stamp(a.client_stamp) else a.client_stamp end,
    saction_stamp = case when new.saction is distinct from old.saction
                         then dbmail_mesh.next_stamp(a.saction_stamp) else a.saction_stamp end,
    active_stamp = case when new.active is distinct from old.active
                        then dbmail_mesh.next_stamp(a.active_stamp) else a.active_stamp end
  where a.user_idnr = new.user_idnr
  returning a.id into known;
  if known is not null then
    perform dbmail_mesh.note('u', known);
  end if;
  return null;
exception when others then
  raise warning 'dbmail-mesh: a change of user % could not be noted: %', new.userid, sqlerrm;
  return null;
end
$$;
comment on function dbmail_mesh.capture_user_change is 'Stamps what changed of a user, and notes it.';

create function dbmail_mesh.capture_user_death() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known bigint;
begin
  update dbmail_mesh.account a set died_at = coalesce(a.died_at, clock_timestamp()), gone_in = pg_current_xact_id()
  where a.user_idnr = old.user_idnr and a.gone_in is null
  returning a.id into known;
  if known is not null then
    perform dbmail_mesh.note('u', known);
  end if;
  return null;
exception when others then
  raise warning 'dbmail-mesh: the death of user % could not be noted: %', old.userid, sqlerrm;
  return null;
end
$$;
comment on function dbmail_mesh.capture_user_death is 'Notes that a user was deleted, for ever.';

create trigger _900_dbmail_mesh_changed
  after update of userid, passwd, client_idnr, maxmail_size, maxsieve_size, encryption_type, spasswd, saction, active
  on public.dbmail_users
  for each row when ((old.userid, old.passwd, old.client_idnr, old.maxmail_size, old.maxsieve_size, old.encryption_type, old.spasswd,
                      old.saction, old.active)
                     is distinct from (new.userid, new.passwd, new.client_idnr, new.maxmail_size, new.maxsieve_size,
                                       new.encryption_type, new.spasswd, new.saction, new.active)
                     and old.userid not in ('__@!internal_delivery_user!@__', '__public__', 'anyone')
                     and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_user_change();
comment on trigger _900_dbmail_mesh_changed on public.dbmail_users is 'Stamps what changed of a user, and notes it for the peers.';

create trigger _900_dbmail_mesh_deleted after delete on public.dbmail_users
  for each row when (old.userid not in ('__@!internal_delivery_user!@__', '__public__', 'anyone')
                     and current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_user_death();
comment on trigger _900_dbmail_mesh_deleted on public.dbmail_users is 'Notes the deletion of a user for the peers.';

-- The other side: what a link brings.

create function dbmail_mesh.view_accounts(births text[], generations integer[], userids text[])
returns setof dbmail_mesh.account_state
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select s.* from dbmail_mesh.account_state s
  where s.id in (select a.id from unnest(births, generations) i(born_as, generation)
                 join dbmail_mesh.account a on a.born_as = i.born_as and a.generation = i.generation
                 union select a.id from public.dbmail_users u join dbmail_mesh.account a on a.user_idnr = u.user_idnr
                 where u.userid = any (userids))
  order by s.id
$$;
comment on function dbmail_mesh.view_accounts is 'What this node has of these accounts, and of those that have one of these userids.';

create function dbmail_mesh.lock_accounts(births text[], generations integer[], userids text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform from public.dbmail_users u
  where u.user_idnr in (select a.user_idnr from unnest(births, generations) i(born_as, generation)
                        join dbmail_mesh.account a on a.born_as = i.born_as and a.generation = i.generation
                        union select n.user_idnr from public.dbmail_users n where n.userid = any (userids))
  order by u.user_idnr for no key update;
end
$$;
comment on function dbmail_mesh.lock_accounts is 'Locks the users of these accounts, and those that have one of these userids, ascending. Look again afterwards.';

create function dbmail_mesh.write_accounts(plan jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  source smallint := (plan ->> 'origin')::smallint;
begin
  -- Deaths: a user who is here stays until his mail is put aside; one who is not is gone at once.
  insert into dbmail_mesh.account as a (born_as, generation, died_at, gone_in, source_id, source_xid)
  select e.born_as, e.generation, clock_timestamp(), pg_current_xact_id(), source, e.gone_in::xid8
  from jsonb_to_recordset(plan -> 'rows') as e(born_as text, generation integer, dies boolean, gone_in text)
  where e.dies
  order by e.born_as, e.generation
  on conflict (born_as, generation) do update
    set died_at = excluded.died_at, source_id = excluded.source_id, source_xid = excluded.source_xid
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
comment on function dbmail_mesh.write_accounts is 'Writes what the worker decided for accounts that it has locked with lock_accounts.';

-- Nodes that have been a mesh for a while may differ in what was not replicated before.
insert into dbmail_mesh.outbox (kind, key)
select 'u', a.id from dbmail_mesh.account a
where a.born_as not in ('__@!internal_delivery_user!@__', '__public__', 'anyone') and exists (select from dbmail_mesh.peer)
order by a.id;

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (14, 'accounts');
