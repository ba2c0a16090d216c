-- dbmail-mesh 0028: the term of the worker that is active on this node, which each of its transactions proves.
--
-- The session lock of a worker tells that it lives. It does not stop one whose lock is gone, while its other sessions go on. So whoever
-- takes the lock begins a term; a transaction of an earlier one fails, and one that has proved its term keeps the next from beginning
-- until it has ended.

set local lock_timeout = '250ms';

create table dbmail_mesh.worker (
  only_row boolean primary key default true,
  term bigint not null default 0,
  held_by text,
  since timestamptz,
  constraint worker_is_one check (only_row),
  constraint worker_term_is_positive check (term >= 0)
);
comment on table dbmail_mesh.worker is 'Which worker was the last to become the active one on this node. Whether it still is: view active_worker.';
comment on column dbmail_mesh.worker.only_row is 'There is one row.';
comment on column dbmail_mesh.worker.term is 'Counts up each time that a worker becomes the active one. What it writes here it writes in its own term only.';
comment on column dbmail_mesh.worker.held_by is 'Whose term it is: host and process id.';
comment on column dbmail_mesh.worker.since is 'When the term began.';
insert into dbmail_mesh.worker default values;

create function dbmail_mesh.hold_term() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  -- Sent by the active worker with its connection. Nobody else has one, nor does what any worker may do: a settlement.
  own bigint := nullif(current_setting('dbmail_mesh.term', true), '')::bigint;
  present bigint;
begin
  if own is null then
    return;
  end if;
  if not pg_try_advisory_xact_lock_shared(1684169079, 0) then
    raise exception using errcode = 'DM002', message = 'another worker is taking over this node';
  end if;
  -- A statement of its own, and so a later snapshot than that of the statement which calls this.
  select w.term into present from dbmail_mesh.worker w;
  if present is distinct from own then
    raise exception using errcode = 'DM002', message = format('another worker has taken over this node: term %s is over, this is %s', own, present);
  end if;
end
$$;
comment on function dbmail_mesh.hold_term is 'Fails in a session of a worker whose term is over. Keeps the next term from beginning until the transaction ends.';

create function dbmail_mesh.hold_term_for_statement() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform dbmail_mesh.hold_term();
  return null;
end
$$;
comment on function dbmail_mesh.hold_term_for_statement is 'Has a statement of the active worker prove its term, where its transaction does not begin with that.';

-- What the active worker writes in a transaction of one statement. Sessions without a term, such as all of dbmail's, are not asked.
create trigger _000_term before insert or update or delete on dbmail_mesh.cursor
for each statement when (current_setting('dbmail_mesh.term', true) <> '') execute function dbmail_mesh.hold_term_for_statement();
create trigger _000_term before insert or update or delete on dbmail_mesh.link_status
for each statement when (current_setting('dbmail_mesh.term', true) <> '') execute function dbmail_mesh.hold_term_for_statement();
create trigger _000_term before insert or update or delete on dbmail_mesh.set_aside
for each statement when (current_setting('dbmail_mesh.term', true) <> '') execute function dbmail_mesh.hold_term_for_statement();
create trigger _000_term before insert or update or delete on dbmail_mesh.moved_reader
for each statement when (current_setting('dbmail_mesh.term', true) <> '') execute function dbmail_mesh.hold_term_for_statement();
create trigger _000_term before insert or update or delete on dbmail_mesh.peer
for each statement when (current_setting('dbmail_mesh.term', true) <> '') execute function dbmail_mesh.hold_term_for_statement();
create trigger _000_term before update on dbmail_mesh.local_node
for each statement when (current_setting('dbmail_mesh.term', true) <> '') execute function dbmail_mesh.hold_term_for_statement();
create trigger _000_term before insert or update or delete on dbmail_mesh.late
for each statement when (current_setting('dbmail_mesh.term', true) <> '') execute function dbmail_mesh.hold_term_for_statement();
create trigger _000_term before insert or update or delete on dbmail_mesh.heard
for each statement when (current_setting('dbmail_mesh.term', true) <> '') execute function dbmail_mesh.hold_term_for_statement();
create trigger _000_term before delete on dbmail_mesh.outbox
for each statement when (current_setting('dbmail_mesh.term', true) <> '') execute function dbmail_mesh.hold_term_for_statement();

create function dbmail_mesh.begin_term(claimant text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  begun bigint;
begin
  -- A term that a crash of the server took back could be begun twice.
  perform set_config('synchronous_commit', 'on', true);
  -- What the former has proved its term for ends first: by itself, or by this server's bounds.
  perform pg_advisory_xact_lock(1684169079, 0);
  update dbmail_mesh.worker w set term = w.term + 1, held_by = claimant, since = clock_timestamp() returning w.term into begun;
  return begun;
end
$$;
comment on function dbmail_mesh.begin_term is 'Begins the next term; for whoever holds the lock of the worker. Waits for what is under way in the former.';

create view dbmail_mesh.active_worker as
select w.term, w.held_by, w.since, k.pid is not null as is_active, k.pid,
       clock_timestamp() - greatest(a.state_change, a.query_start) as silent_for
from dbmail_mesh.worker w
left join lateral (
  select l.pid from pg_locks l
  where l.locktype = 'advisory' and l.granted and l.classid = 1684169070 and l.objid = 0 and l.objsubid = 2
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
  limit 1
) k on true
left join pg_stat_activity a on a.pid = k.pid;
comment on view dbmail_mesh.active_worker is 'Which worker is active on this node: it alone writes what links bring here. Others stand by.';
comment on column dbmail_mesh.active_worker.term is 'Its term; it only grows.';
comment on column dbmail_mesh.active_worker.held_by is 'Its host and process id; of the last one, if none is active.';
comment on column dbmail_mesh.active_worker.since is 'When its term began.';
comment on column dbmail_mesh.active_worker.is_active is 'Whether it is there: a session holds its lock.';
comment on column dbmail_mesh.active_worker.pid is 'The server process of that session.';
comment on column dbmail_mesh.active_worker.silent_for is 'For how long it has said nothing there: past worker.lease another takes over. Null where this role may not see that.';

-- Runs as whoever calls it: a worker may look at, and end, sessions of its own role.
create function dbmail_mesh.seek_term(claimant text, lease interval, out term bigint, out held_by text, out deposed boolean)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  deposed := false;
  if pg_try_advisory_lock(1684169070, 0) then
    -- What is left of a worker that has stopped in the midst of something is not waited for.
    perform pg_terminate_backend(a.pid) from pg_stat_activity a
    where a.datname = current_database() and a.usename = current_user and a.application_name like 'dbmail-mesh writer %';
    term := dbmail_mesh.begin_term(claimant);
    held_by := claimant;
    return;
  end if;
  select w.held_by, case when w.silent_for > lease then pg_terminate_backend(w.pid) else false end into held_by, deposed
  from dbmail_mesh.active_worker w;
end
$$;
comment on function dbmail_mesh.seek_term is 'Begins a term if no worker is active here; term is null otherwise. Whoever is active and has been silent for longer than "lease" loses its lock.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (28, 'terms');
