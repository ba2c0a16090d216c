-- dbmail-mesh 0015: the small tables: aliases, the user map, subscriptions, ACLs, sieve scripts, filters, replies, notifications.
--
-- Each of their rows is a register as a whole. It is known on all nodes by its key, in which users go by their accounts: user_idnr and
-- the tables' own ids differ between nodes. A row that was deleted keeps its entry as a tombstone. Which sieve script is active is a
-- register of its own, for there is one an account.

set local lock_timeout = '250ms';

create table dbmail_mesh.entry (
  id bigint generated always as identity primary key,
  kind text not null,
  key jsonb not null,
  stamp bigint not null default 0,
  present boolean not null default true,
  value jsonb not null default '{}',
  dropped_in xid8,
  stamp_before bigint,
  constraint entry_is_known_once unique (kind, key),
  constraint entry_kind_is_known check (kind in ('alias', 'usermap', 'subscription', 'acl', 'script', 'active', 'filter', 'reply',
                                                 'notification'))
);
comment on table dbmail_mesh.entry is 'The rows of dbmail''s small tables, and those that were deleted, each with the stamp of its last change.';
comment on column dbmail_mesh.entry.id is 'This node''s key of it, in outbox.';
comment on column dbmail_mesh.entry.kind is 'The table; active: which sieve script of an account is active.';
comment on column dbmail_mesh.entry.key is 'What the row is known by on all nodes; users by their accounts.';
comment on column dbmail_mesh.entry.stamp is 'When and where it was written; 0: never since it was adopted. See stamped_at(), stamped_by().';
comment on column dbmail_mesh.entry.present is 'Whether the row is there; false: it was deleted.';
comment on column dbmail_mesh.entry.value is 'The rest of the row; of a deleted one as it was last.';
comment on column dbmail_mesh.entry.dropped_in is 'The transaction of this node that deleted it last: when the same one puts it back, nothing has changed.';
comment on column dbmail_mesh.entry.stamp_before is 'The stamp that it had before that.';
create index entry_by_account on dbmail_mesh.entry ((key ->> 'account'));
create index entry_by_mailbox on dbmail_mesh.entry (((key ->> 'mailbox')::bigint)) where kind in ('subscription', 'acl');

-- dbmail knows the user of an alias by a number in a text. A number of which nothing is known here would be somebody else on another
-- node: it stays here. The script that dbmail stores while it examines a new one is nobody's.
create function dbmail_mesh.entry_of(kind text, r jsonb, out key jsonb, out value jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  idnr bigint := case kind when 'alias' then case when r ->> 'deliver_to' ~ '^[0-9]{1,18}$' then r ->> 'deliver_to' end
                           when 'script' then r ->> 'owner_idnr' when 'reply' then r ->> 'user_idnr'
                           when 'notification' then r ->> 'user_idnr' else r ->> 'user_id' end;
  account text := dbmail_mesh.account_of(idnr);
begin
  value := '{}';
  if kind = 'usermap' then
    key := jsonb_build_object('login', r -> 'login', 'sock_allow', r -> 'sock_allow', 'userid', r -> 'userid');
    value := jsonb_build_object('sock_deny', r -> 'sock_deny');
  elsif kind = 'alias' and idnr is null then
    key := jsonb_build_object('alias', r -> 'alias', 'client', r -> 'client_idnr', 'to', r -> 'deliver_to');
  elsif account is null or (kind = 'script' and r ->> 'name' = '@!temp-script!@') then
    key := null;
  elsif kind = 'alias' then
    key := jsonb_build_object('alias', r -> 'alias', 'client', r -> 'client_idnr', 'account', account);
  elsif kind = 'subscription' then
    key := jsonb_build_object('account', account, 'mailbox', r -> 'mailbox_id');
  elsif kind = 'acl' then
    key := jsonb_build_object('account', account, 'mailbox', r -> 'mailbox_id');
    value := r - 'user_id' - 'mailbox_id';
  elsif kind = 'script' then
    key := jsonb_build_object('account', account, 'name', r -> 'name');
    value := jsonb_build_object('script', r -> 'script');
  elsif kind = 'filter' then
    key := jsonb_build_object('account', account, 'headername', r -> 'headername', 'headervalue', r -> 'headervalue',
                              'folder', r -> 'mailbox');
  else
    key := jsonb_build_object('account', account);
    value := r - 'user_idnr';
  end if;
end
$$;
comment on function dbmail_mesh.entry_of is 'Key and value of a row of one of the small tables; the key is null when the row is none of the mesh''s.';

create function dbmail_mesh.set_entry(what text, which jsonb, is_there boolean, content jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known dbmail_mesh.entry;
  made bigint;
begin
  select * into known from dbmail_mesh.entry e where e.kind = what and e.key = which for update;
  if not found then
    if not is_there then
      return;
    end if;
    insert into dbmail_mesh.entry (kind, key, stamp, value) values (what, which, dbmail_mesh.next_stamp(0), content)
    on conflict do nothing
    returning id into made;
    if made is not null then
      perform dbmail_mesh.note('e', made);
      return;
    end if;
    select * into known from dbmail_mesh.entry e where e.kind = what and e.key = which for update;
  end if;
  if known.present = is_there and (not is_there or known.value = content) then
    return;
  end if;
  update dbmail_mesh.entry e
  set present = is_there, value = coalesce(content, e.value),
      stamp = case when is_there and not e.present and e.dropped_in = pg_current_xact_id() and e.value = content
                   then e.stamp_before else dbmail_mesh.next_stamp(e.stamp) end,
      dropped_in = case when not is_there then pg_current_xact_id() end, stamp_before = case when not is_there then e.stamp end
  where e.id = known.id;
  perform dbmail_mesh.note('e', known.id);
end
$$;
comment on function dbmail_mesh.set_entry is 'Stamps an entry that was changed here, and notes it. Nothing happens when it is as it was.';

create function dbmail_mesh.capture_entry() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  what text := tg_argv[0];
  was jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  old_key jsonb;
  new_key jsonb;
  new_value jsonb;
  stays boolean := false;
  cascades boolean := false;
begin
  if was is not null then
    select e.key into old_key from dbmail_mesh.entry_of(what, was) e;
  end if;
  if tg_op <> 'DELETE' then
    select e.key, e.value into new_key, new_value from dbmail_mesh.entry_of(what, to_jsonb(new)) e;
  end if;
  if old_key is not null and old_key is distinct from new_key then
    -- What goes with its user or its mailbox needs no tombstone, for theirs says it. And an equal row may be left.
    if tg_op = 'DELETE' and old_key ? 'account' and dbmail_mesh.user_of(old_key ->> 'account') is null then
      cascades := true;
    elsif tg_op = 'DELETE' and old_key ? 'mailbox' then
      cascades := not exists (select from public.dbmail_mailboxes m where m.mailbox_idnr = (old_key ->> 'mailbox')::bigint);
    elsif what = 'alias' then
      stays := exists (select from public.dbmail_aliases a where a.alias = was ->> 'alias'
                         and (select e.key from dbmail_mesh.entry_of('alias', to_jsonb(a)) e) = old_key);
    elsif what = 'filter' then
      stays := exists (select from public.dbmail_filters f where f.user_id = (was ->> 'user_id')::bigint
                         and (select e.key from dbmail_mesh.entry_of('filter', to_jsonb(f)) e) = old_key);
    end if;
    if cascades then
      delete from dbmail_mesh.entry e where e.kind = what and e.key = old_key;
    elsif not stays then
      perform dbmail_mesh.set_entry(what, old_key, false, null);
    end if;
  end if;
  if new_key is not null then
    perform dbmail_mesh.set_entry(what, new_key, true, new_value);
  end if;
  return null;
exception when others then
  -- No error of ours may fail a statement of dbmail's.
  raise warning 'dbmail-mesh: a change of %.% could not be noted: %', tg_table_schema, tg_table_name, sqlerrm;
  return null;
end
$$;
comment on function dbmail_mesh.capture_entry is 'Stamps and notes what changed in one of the small tables; its argument is the kind of entry.';

-- dbmail activates by "none of them", then "this one", in one transaction or in two. It stores a new script under the name of an old
-- one by deleting that, and its temporary script is active at once: neither may take the place of the active one in passing.
create function dbmail_mesh.capture_active() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  owner bigint := case when tg_op = 'DELETE' then old.owner_idnr else new.owner_idnr end;
  which jsonb := jsonb_build_object('account', dbmail_mesh.account_of(owner));
  was text;
  now_active text;
begin
  if tg_op <> 'INSERT' and old.active = 1 and old.name <> '@!temp-script!@' then
    was := old.name;
  end if;
  if tg_op <> 'DELETE' and new.active = 1 and new.name <> '@!temp-script!@' then
    now_active := new.name;
  end if;
  if dbmail_mesh.user_of(which ->> 'account') is null then
    delete from dbmail_mesh.entry e where e.kind = 'active' and e.key = which;
    return null;
  end if;
  if was is not distinct from now_active then
    return null;
  end if;
  if now_active is null then
    if exists (select from dbmail_mesh.entry e where e.kind = 'active' and e.key = which and e.value ->> 'name' = was) then
      perform dbmail_mesh.set_entry('active', which, true, '{"name": null}');
    end if;
  elsif exists (select from public.dbmail_sievescripts s where s.id = new.id and s.active = 1) then
    perform dbmail_mesh.set_entry('active', which, true, jsonb_build_object('name', now_active));
    update public.dbmail_sievescripts s set active = 0
    where s.owner_idnr = owner and s.active = 1 and s.id <> new.id and s.name <> '@!temp-script!@';
  end if;
  return null;
exception when others then
  raise warning 'dbmail-mesh: a change of the active sieve script could not be noted: %', sqlerrm;
  return null;
end
$$;
comment on function dbmail_mesh.capture_active is 'Stamps and notes which sieve script of a user is active; the last one that was activated is the only one.';

create trigger _900_dbmail_mesh_entry after insert or update or delete on public.dbmail_aliases
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_entry('alias');
comment on trigger _900_dbmail_mesh_entry on public.dbmail_aliases is 'Notes a change for the peers.';
create trigger _900_dbmail_mesh_entry after insert or update or delete on public.dbmail_usermap
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_entry('usermap');
comment on trigger _900_dbmail_mesh_entry on public.dbmail_usermap is 'Notes a change for the peers.';
create trigger _900_dbmail_mesh_entry after insert or update or delete on public.dbmail_subscription
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_entry('subscription');
comment on trigger _900_dbmail_mesh_entry on public.dbmail_subscription is 'Notes a change for the peers.';
create trigger _900_dbmail_mesh_entry after insert or update or delete on public.dbmail_acl
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_entry('acl');
comment on trigger _900_dbmail_mesh_entry on public.dbmail_acl is 'Notes a change for the peers.';
create trigger _900_dbmail_mesh_entry after insert or update or delete on public.dbmail_sievescripts
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_entry('script');
comment on trigger _900_dbmail_mesh_entry on public.dbmail_sievescripts is 'Notes a change for the peers.';
create trigger _910_dbmail_mesh_active after insert or update or delete on public.dbmail_sievescripts
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_active();
comment on trigger _910_dbmail_mesh_active on public.dbmail_sievescripts is 'Notes for the peers which script is active.';
create trigger _900_dbmail_mesh_entry after insert or update or delete on public.dbmail_filters
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_entry('filter');
comment on trigger _900_dbmail_mesh_entry on public.dbmail_filters is 'Notes a change for the peers.';
create trigger _900_dbmail_mesh_entry after insert or update or delete on public.dbmail_auto_replies
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_entry('reply');
comment on trigger _900_dbmail_mesh_entry on public.dbmail_auto_replies is 'Notes a change for the peers.';
create trigger _900_dbmail_mesh_entry after insert or update or delete on public.dbmail_auto_notifications
  for each row when (current_setting('dbmail_mesh.applying', true) is distinct from 'on')
  execute function dbmail_mesh.capture_entry('notification');
comment on trigger _900_dbmail_mesh_entry on public.dbmail_auto_notifications is 'Notes a change for the peers.';

-- What is here already. After the triggers, which wait for whoever writes to these tables: a row is seen here or by its trigger.
insert into dbmail_mesh.entry (kind, key, value)
select distinct on (x.kind, e.key) x.kind, e.key, e.value
from (select 'alias' as kind, to_jsonb(t) as r from public.dbmail_aliases t
      union all select 'usermap', to_jsonb(t) from public.dbmail_usermap t
      union all select 'subscription', to_jsonb(t) from public.dbmail_subscription t
      union all select 'acl', to_jsonb(t) from public.dbmail_acl t
      union all select 'script', to_jsonb(t) from public.dbmail_sievescripts t
      union all select 'filter', to_jsonb(t) from public.dbmail_filters t
      union all select 'reply', to_jsonb(t) from public.dbmail_auto_replies t
      union all select 'notification', to_jsonb(t) from public.dbmail_auto_notifications t) x
cross join lateral dbmail_mesh.entry_of(x.kind, x.r) e
where e.key is not null
order by x.kind, e.key, e.value;
insert into dbmail_mesh.entry (kind, key, value)
select 'active', jsonb_build_object('account', dbmail_mesh.account_of(s.owner_idnr)), jsonb_build_object('name', min(s.name))
from public.dbmail_sievescripts s
where s.active = 1 and s.name <> '@!temp-script!@' and dbmail_mesh.account_of(s.owner_idnr) is not null
group by s.owner_idnr
order by s.owner_idnr;
-- Nodes that have been a mesh for a while may differ in what was not replicated before.
insert into dbmail_mesh.outbox (kind, key)
select 'e', e.id from dbmail_mesh.entry e where exists (select from dbmail_mesh.peer) order by e.id;

-- The other side: what a link brings.

create function dbmail_mesh.view_entries(incoming jsonb)
returns table (place bigint, key text, merged boolean, public boolean, is_dead boolean, lacks text, stamp bigint, present boolean,
               value text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select i.place, k.key::text, coalesce(b.id <> b.asked, false), coalesce(o.userid = '__public__', false),
         coalesce(a.died_at is not null or (a.id is not null and u.user_idnr is null), false)
           or (b.id is not null and m.mailbox_idnr is null and (f.mailbox_idnr is not null or l.mailbox_idnr is not null)),
         case when i.key ? 'account' and a.id is null then format('account %s is not known on this node', i.key ->> 'account')
              when b.id is not null and m.mailbox_idnr is null then format('mailbox %s is not here', b.id) end,
         e.stamp, e.present, e.value::text
  from rows from (jsonb_to_recordset(incoming) as (kind text, key jsonb)) with ordinality i(kind, key, place)
  left join dbmail_mesh.account a on a.account = i.key ->> 'account'
  left join public.dbmail_users u on u.user_idnr = a.user_idnr
  left join lateral (select (i.key ->> 'mailbox')::bigint as asked, dbmail_mesh.mailbox_of((i.key ->> 'mailbox')::bigint) as id
                     where i.key ? 'mailbox') b on true
  left join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = b.id
  left join dbmail_mesh.line l on l.mailbox_idnr = b.id
  left join public.dbmail_mailboxes m on m.mailbox_idnr = b.id
  left join public.dbmail_users o on o.user_idnr = m.owner_idnr
  cross join lateral (select case when b.id is null then i.key else jsonb_set(i.key, '{mailbox}', to_jsonb(b.id)) end as key) k
  left join dbmail_mesh.entry e on e.kind = i.kind and e.key = k.key
$$;
comment on function dbmail_mesh.view_entries is 'What this node has of each of these entries: its key here (that of the mailbox which took the place of a merged one), what its account or mailbox stands in the way with, and its register; stamp is null when it was never here.';

create function dbmail_mesh.write_entries(plan jsonb) returns void
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
comment on function dbmail_mesh.write_entries is 'Writes what the worker decided for entries: their registers, and the rows of dbmail''s tables.';

create function dbmail_mesh.write_entry_rows(changes jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  of_kind jsonb;
  what text;
begin
  -- Scripts before the active one among them.
  foreach what in array array['alias', 'usermap', 'subscription', 'acl', 'filter', 'reply', 'notification', 'script', 'active'] loop
    select jsonb_agg(coalesce(e.value, '{}') || e.key || jsonb_build_object('present', e.present, 'idnr', u.user_idnr)) into of_kind
    from jsonb_to_recordset(changes) as e(kind text, key jsonb, present boolean, value jsonb)
    left join dbmail_mesh.account a on a.account = e.key ->> 'account'
    left join public.dbmail_users u on u.user_idnr = a.user_idnr
    where e.kind = what and (u.user_idnr is not null or not e.key ? 'account');
    if of_kind is not null then
      case what
        when 'alias' then perform dbmail_mesh.write_aliases(of_kind);
        when 'usermap' then perform dbmail_mesh.write_usermap(of_kind);
        when 'subscription' then perform dbmail_mesh.write_subscriptions(of_kind);
        when 'acl' then perform dbmail_mesh.write_acls(of_kind);
        when 'filter' then perform dbmail_mesh.write_filters(of_kind);
        when 'reply' then perform dbmail_mesh.write_replies(of_kind);
        when 'notification' then perform dbmail_mesh.write_notifications(of_kind);
        when 'script' then perform dbmail_mesh.write_scripts(of_kind);
        else perform dbmail_mesh.write_active(of_kind);
      end case;
    end if;
  end loop;
end
$$;
comment on function dbmail_mesh.write_entry_rows is 'Part of write_entries: the rows of dbmail''s tables, kind by kind.';

create function dbmail_mesh.write_aliases(changes jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from public.dbmail_aliases a
  using jsonb_to_recordset(changes) as e(present boolean, alias text, client bigint, idnr bigint, "to" text)
  where not e.present and a.alias = e.alias and a.client_idnr = e.client
    and case when e.idnr is null then a.deliver_to = e."to" else ltrim(a.deliver_to, '0') = e.idnr::text end;
  insert into public.dbmail_aliases (alias, deliver_to, client_idnr)
  select e.alias, coalesce(e.idnr::text, e."to"), e.client
  from jsonb_to_recordset(changes) as e(present boolean, alias text, client bigint, idnr bigint, "to" text)
  where e.present and not exists (
    select from public.dbmail_aliases a
    where a.alias = e.alias and a.client_idnr = e.client
      and case when e.idnr is null then a.deliver_to = e."to" else ltrim(a.deliver_to, '0') = e.idnr::text end)
  order by 1, 2, 3
$$;
comment on function dbmail_mesh.write_aliases is 'Part of write_entries: aliases; all equal rows go at once.';

create function dbmail_mesh.write_usermap(changes jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from public.dbmail_usermap m
  using jsonb_to_recordset(changes) as e(present boolean, login text, sock_allow text, userid text)
  where not e.present and m.login = e.login and m.sock_allow = e.sock_allow and m.userid = e.userid;
  insert into public.dbmail_usermap (login, sock_allow, sock_deny, userid)
  select e.login, e.sock_allow, e.sock_deny, e.userid
  from jsonb_to_recordset(changes) as e(present boolean, login text, sock_allow text, sock_deny text, userid text)
  where e.present
  order by e.login, e.sock_allow, e.userid
  on conflict (login, sock_allow, userid) do update set sock_deny = excluded.sock_deny
$$;
comment on function dbmail_mesh.write_usermap is 'Part of write_entries: the user map.';

create function dbmail_mesh.write_subscriptions(changes jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from public.dbmail_subscription s
  using jsonb_to_recordset(changes) as e(present boolean, idnr bigint, mailbox bigint)
  where not e.present and s.user_id = e.idnr and s.mailbox_id = e.mailbox;
  insert into public.dbmail_subscription (user_id, mailbox_id)
  select e.idnr, e.mailbox
  from jsonb_to_recordset(changes) as e(present boolean, idnr bigint, mailbox bigint)
  where e.present
  order by e.idnr, e.mailbox
  on conflict do nothing
$$;
comment on function dbmail_mesh.write_subscriptions is 'Part of write_entries: subscriptions. dbmail asks for them each time, so no session has to be told.';

create function dbmail_mesh.write_acls(changes jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from public.dbmail_acl a
  using jsonb_to_recordset(changes) as e(present boolean, idnr bigint, mailbox bigint)
  where not e.present and a.user_id = e.idnr and a.mailbox_id = e.mailbox;
  insert into public.dbmail_acl (user_id, mailbox_id, lookup_flag, read_flag, seen_flag, write_flag, insert_flag, post_flag,
    create_flag, delete_flag, deleted_flag, expunge_flag, administer_flag)
  select e.idnr, e.mailbox, e.lookup_flag, e.read_flag, e.seen_flag, e.write_flag, e.insert_flag, e.post_flag, e.create_flag,
         e.delete_flag, e.deleted_flag, e.expunge_flag, e.administer_flag
  from jsonb_to_recordset(changes) as e(present boolean, idnr bigint, mailbox bigint, lookup_flag smallint, read_flag smallint,
    seen_flag smallint, write_flag smallint, insert_flag smallint, post_flag smallint, create_flag smallint, delete_flag smallint,
    deleted_flag smallint, expunge_flag smallint, administer_flag smallint)
  where e.present
  order by e.idnr, e.mailbox
  on conflict (user_id, mailbox_id) do update
    set lookup_flag = excluded.lookup_flag, read_flag = excluded.read_flag, seen_flag = excluded.seen_flag,
        write_flag = excluded.write_flag, insert_flag = excluded.insert_flag, post_flag = excluded.post_flag,
        create_flag = excluded.create_flag, delete_flag = excluded.delete_flag, deleted_flag = excluded.deleted_flag,
        expunge_flag = excluded.expunge_flag, administer_flag = excluded.administer_flag
$$;
comment on function dbmail_mesh.write_acls is 'Part of write_entries: rights on mailboxes. dbmail asks for them each time, so no session has to be told.';

create function dbmail_mesh.write_filters(changes jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from public.dbmail_filters f
  using jsonb_to_recordset(changes) as e(present boolean, idnr bigint, headername text, headervalue text, folder text)
  where not e.present and f.user_id = e.idnr and f.headername = e.headername and f.headervalue = e.headervalue and f.mailbox = e.folder;
  insert into public.dbmail_filters (user_id, headername, headervalue, mailbox)
  select e.idnr, e.headername, e.headervalue, e.folder
  from jsonb_to_recordset(changes) as e(present boolean, idnr bigint, headername text, headervalue text, folder text)
  where e.present and not exists (
    select from public.dbmail_filters f
    where f.user_id = e.idnr and f.headername = e.headername and f.headervalue = e.headervalue and f.mailbox = e.folder)
  order by 1, 2, 3, 4
$$;
comment on function dbmail_mesh.write_filters is 'Part of write_entries: filters; all equal rows go at once.';

create function dbmail_mesh.write_replies(changes jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from public.dbmail_auto_replies r
  using jsonb_to_recordset(changes) as e(present boolean, idnr bigint)
  where not e.present and r.user_idnr = e.idnr;
  insert into public.dbmail_auto_replies (user_idnr, start_date, stop_date, reply_body)
  select e.idnr, e.start_date, e.stop_date, e.reply_body
  from jsonb_to_recordset(changes) as e(present boolean, idnr bigint, start_date timestamp, stop_date timestamp, reply_body text)
  where e.present
  order by e.idnr
  on conflict (user_idnr) do update
    set start_date = excluded.start_date, stop_date = excluded.stop_date, reply_body = excluded.reply_body
$$;
comment on function dbmail_mesh.write_replies is 'Part of write_entries: automatic replies.';

create function dbmail_mesh.write_notifications(changes jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from public.dbmail_auto_notifications n
  using jsonb_to_recordset(changes) as e(present boolean, idnr bigint)
  where not e.present and n.user_idnr = e.idnr;
  insert into public.dbmail_auto_notifications (user_idnr, notify_address)
  select e.idnr, e.notify_address
  from jsonb_to_recordset(changes) as e(present boolean, idnr bigint, notify_address text)
  where e.present
  order by e.idnr
  on conflict (user_idnr) do update set notify_address = excluded.notify_address
$$;
comment on function dbmail_mesh.write_notifications is 'Part of write_entries: addresses that are notified.';

-- A script may come before or after the word that it is the active one.
create function dbmail_mesh.write_scripts(changes jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from public.dbmail_sievescripts s
  using jsonb_to_recordset(changes) as e(present boolean, idnr bigint, name text)
  where not e.present and s.owner_idnr = e.idnr and s.name = e.name;
  insert into public.dbmail_sievescripts (owner_idnr, name, script, active)
  select e.idnr, e.name, e.script,
         (exists (select from dbmail_mesh.entry t where t.kind = 'active' and t.key = jsonb_build_object('account', e.account)
                    and t.value ->> 'name' = e.name))::integer
  from jsonb_to_recordset(changes) as e(present boolean, idnr bigint, account text, name text, script text)
  where e.present
  order by e.idnr, e.name
  on conflict (owner_idnr, name) do update set script = excluded.script
$$;
comment on function dbmail_mesh.write_scripts is 'Part of write_entries: sieve scripts.';

create function dbmail_mesh.write_active(changes jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  update public.dbmail_sievescripts s
  set active = (s.name is not distinct from e.name)::integer
  from jsonb_to_recordset(changes) as e(idnr bigint, name text)
  where s.owner_idnr = e.idnr and s.name <> '@!temp-script!@' and s.active <> (s.name is not distinct from e.name)::integer
$$;
comment on function dbmail_mesh.write_active is 'Part of write_entries: which sieve script is active.';

-- The rights on a public mailbox that only one side had were given by dbmail to whoever created the folder: nobody has granted them for
-- the other one's mail. They are withdrawn by a write that is later than theirs and gives way to any other.
create function dbmail_mesh.merge_entries(loser bigint, winner bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  is_public boolean;
  here smallint;
  changes jsonb;
begin
  select coalesce(bool_or(u.userid = '__public__'), false) into is_public
  from public.dbmail_mailboxes m join public.dbmail_users u on u.user_idnr = m.owner_idnr where m.mailbox_idnr in (loser, winner);
  select n.node_id into here from dbmail_mesh.local_node n;
  with side as (
    select e.kind, e.key ->> 'account' as account, (e.key ->> 'mailbox')::bigint = winner as is_winner, e.stamp, e.present, e.value
    from dbmail_mesh.entry e
    where e.kind in ('subscription', 'acl') and (e.key ->> 'mailbox')::bigint in (loser, winner)
  ), pair as (
    select kind, account, w.stamp as seen,
           coalesce((l.stamp, l.present, l.value::text collate "C") > (w.stamp, w.present, w.value::text collate "C"), w.stamp is null)
             as is_loser,
           -- What was withdrawn after the other was granted stays so anyhow.
           is_public and kind = 'acl'
             and case when coalesce(l.present, false) then not coalesce(w.present, false) and l.stamp >= coalesce(w.stamp, 0)
                      else coalesce(w.present, false) and w.stamp >= coalesce(l.stamp, 0) end as is_one_sided,
           greatest(l.stamp, w.stamp) as latest, coalesce(l.present, false) as l_present, l.stamp as l_stamp, l.value as l_value
    from (select * from side where not is_winner) l
    full join (select * from side where is_winner) w using (kind, account)
  ), joined as (
    select kind, account, seen,
           case when is_one_sided then ((latest >> 12) + 1) * 4096 + here else l_stamp end as stamp,
           not is_one_sided and l_present as present,
           case when not is_one_sided and l_present then l_value end as value
    from pair
    where is_one_sided or is_loser
  )
  select jsonb_agg(jsonb_build_object('kind', kind, 'key', jsonb_build_object('account', account, 'mailbox', winner), 'stamp', stamp,
                                      'present', present, 'value', value, 'seen', seen, 'own', true) order by kind, account)
    into changes from joined;
  if changes is not null then
    perform dbmail_mesh.write_entries(jsonb_build_object('rows', changes));
  end if;
  -- What still comes under the old key counts for the winner too: see view_entries().
  delete from dbmail_mesh.entry e where e.kind in ('subscription', 'acl') and (e.key ->> 'mailbox')::bigint = loser;
end
$$;
comment on function dbmail_mesh.merge_entries is 'Subscriptions and ACLs of a mailbox that is merged into another count for that one. Called in the transaction of the merge, under dbmail_mesh.applying, while both are here.';

create function dbmail_mesh.forget_account(name text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- An alias has no foreign key: it would be left, and name nobody.
  delete from public.dbmail_aliases a
  using dbmail_mesh.account c where c.account = name and ltrim(a.deliver_to, '0') = c.user_idnr::text;
  delete from dbmail_mesh.entry e where e.key ->> 'account' = name;
end
$$;
comment on function dbmail_mesh.forget_account is 'Aliases and entries of an account that is dead: nobody''s. Called under dbmail_mesh.applying where its user is deleted because a peer said so.';

create function dbmail_mesh.forget_mailbox(mailbox bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from dbmail_mesh.entry e where e.kind in ('subscription', 'acl') and (e.key ->> 'mailbox')::bigint = mailbox
$$;
comment on function dbmail_mesh.forget_mailbox is 'Entries of a mailbox that is dead: nobody''s. Called under dbmail_mesh.applying where it is deleted because a peer said so.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (15, 'entries');
