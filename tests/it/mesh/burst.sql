-- Notes when content is written by two transactions at once; and refuses one message, as a constraint of a DBA's would.
create schema watched;
create table watched.overlap (at timestamptz default clock_timestamp());
create function watched.look() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  if not pg_try_advisory_xact_lock(4711, 1) then
    insert into watched.overlap default values;
  end if;
  return null;
end
$$;
create trigger look after insert on public.dbmail_physmessage for each statement execute function watched.look();
alter table public.dbmail_messages add constraint none_is_refused check (unique_id <> 'refused');
