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

-- The three functions that write names, each with one more sentence where it meets a name that is taken.
do $do$
declare
  f regprocedure;
  was text;
begin
  foreach f in array array['dbmail_mesh.write_mailbox_rows(jsonb)', 'dbmail_mesh.write_accounts(jsonb)', 'dbmail_mesh.write_entries(jsonb)']::regprocedure[] loop
    was := pg_get_functiondef(f);
    if strpos(was, 'exception when unique_violation then') = 0 then
      raise exception 'function % is not as it was installed', f;
    end if;
    execute replace(was, 'exception when unique_violation then', $text$exception when unique_violation then
  declare
    of_table text;
    of_constraint text;
  begin
    get stacked diagnostics of_table = table_name, of_constraint = constraint_name;
    if not dbmail_mesh.may_have_been_taken(of_table, of_constraint) then
      raise;
    end if;
  end;$text$);
  end loop;
end
$do$;

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
