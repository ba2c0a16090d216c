-- dbmail-mesh 0025: which programs may work with the schema, and none while it is being migrated.

set local lock_timeout = '250ms';

alter table dbmail_mesh.migration
  add column needs integer,
  add constraint migration_needs_one_that_is_known check (needs between 1 and version);
comment on column dbmail_mesh.migration.needs is 'A program that knows the migrations up to this one may go on working here after this migration; null: it has to know this one.';

-- The worker's transactions begin with it where they take locks. A migration takes the same lock exclusively, first of all: so a
-- transaction of an older worker has ended before anything changes, and the next one reads here that it must not begin.
create function dbmail_mesh.admit_program() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  -- Sent by the program with its connection; a person in psql has none.
  known integer := nullif(current_setting('dbmail_mesh.program', true), '')::integer;
  needed integer;
begin
  if not pg_try_advisory_xact_lock_shared(1684169072, 0) then
    raise lock_not_available using message = 'this node is being migrated';
  end if;
  -- A statement of its own, and so a later snapshot than that of the statement which calls this.
  select max(coalesce(m.needs, m.version)) into needed from dbmail_mesh.migration m;
  if known < needed then
    raise exception using errcode = 'DM001',
      message = format('the schema of this node needs a dbmail-mesh that knows version %s; this one knows %s', needed, known),
      detail = 'upgrade the program and start it again';
  end if;
end
$$;
comment on function dbmail_mesh.admit_program is 'Fails where the program that is connected must not work with this schema: it is too old for it, or a migration is under way. Keeps migrations away until the transaction ends.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (25, 'programs');
