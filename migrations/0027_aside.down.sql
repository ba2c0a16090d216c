-- dbmail-mesh 0027, down.

set local lock_timeout = '250ms';

do $do$
declare
  f regprocedure;
begin
  foreach f in array array['dbmail_mesh.write_mailbox_rows(jsonb)', 'dbmail_mesh.write_accounts(jsonb)', 'dbmail_mesh.write_entries(jsonb)']::regprocedure[] loop
    execute regexp_replace(pg_get_functiondef(f), '(exception when unique_violation then).*?raise;\s+end if;\s+end;', '\1');
  end loop;
end
$do$;
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
