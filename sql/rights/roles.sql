-- dbmail-mesh: the three roles of a node. "dbmail-mesh migrate rights" prints this with the names filled in; by hand, in dbmail's database:
--   psql -1 -v ON_ERROR_STOP=1 -v owner=dbmail_mesh_owner -v worker=dbmail_mesh -v reader=dbmail_mesh_reader -f roles.sql
-- To be run by a superuser, and as often as you like. It gives what is missing and takes nothing away.
--
-- owner:  installs. It owns schema dbmail_mesh; the functions there, and so what triggers do, run with its rights. Only the owner of a table
--         can put triggers on it, hence it is a member of the role that owns dbmail's tables. Used for migrate only.
-- worker: what the worker connects as. It owns nothing and is a member of nothing.
-- reader: for people and monitoring. It sees what became of UIDs and how links are doing, and no mail, passwords or scripts.
-- dbmail's own role gets nothing: triggers need no right of whoever fires them.

set local search_path = pg_catalog, pg_temp;
set local dbmail_mesh.owner = :'owner';
set local dbmail_mesh.worker = :'worker';
set local dbmail_mesh.reader = :'reader';

do $$
declare
  owner constant text := current_setting('dbmail_mesh.owner');
  worker constant text := current_setting('dbmail_mesh.worker');
  reader constant text := current_setting('dbmail_mesh.reader');
  present constant text := (select r.rolname from pg_namespace n join pg_roles r on r.oid = n.nspowner where n.nspname = 'dbmail_mesh');
  named text;
  dbmail record;
begin
  if owner = worker or owner = reader or worker = reader then
    raise exception 'the owner, the worker and the reader must be three roles' using hint = 'See --owner, --worker and --reader.';
  end if;
  if present <> owner then
    raise exception 'schema dbmail_mesh belongs to role %, not to %', present, owner
      using hint = format('Name it with --owner, or as a superuser hand over what it owns in this database: reassign owned by %I to %I', present, owner);
  end if;
  if to_regclass('public.dbmail_messages') is null then
    raise exception 'database % is not dbmail''s: schema public lacks dbmail_messages', current_database()
      using hint = 'Connect to the database that dbmail uses.';
  end if;

  foreach named in array array[owner, worker, reader] loop
    if not exists (select from pg_roles r where r.rolname = named) then
      if not (select r.rolsuper or r.rolcreaterole from pg_roles r where r.rolname = current_user) then
        raise insufficient_privilege using message = format('role %s does not exist, and role %s may not create it', named, current_user),
          hint = 'Run this as a superuser.';
      end if;
      execute format('create role %I login nosuperuser nocreatedb nocreaterole noreplication', named);
    end if;
    if (select r.rolsuper from pg_roles r where r.rolname = named) then
      raise exception 'role % is a superuser', named using hint = format('Name another, or: alter role %I nosuperuser', named);
    end if;
    if not has_database_privilege(named, current_database(), 'connect') then
      execute format('grant connect on database %I to %I', current_database(), named);
    end if;
    if not has_schema_privilege(named, 'public', 'usage') then
      execute format('grant usage on schema public to %I', named);
    end if;
  end loop;

  if present is null and not has_database_privilege(owner, current_database(), 'create') then
    execute format('grant create on database %I to %I', current_database(), owner);
  end if;

  foreach named in array array[worker, reader] loop
    if pg_has_role(named, owner, 'member') then
      raise exception 'role % is a member of %, which owns schema dbmail_mesh', named, owner
        using hint = format('Name another, or: revoke %I from %I', owner, named);
    end if;
  end loop;

  for dbmail in
    select r.rolname, r.rolsuper, min(c.relname) as relation
    from pg_class c join pg_roles r on r.oid = c.relowner
    where c.relnamespace = 'public'::regnamespace and c.relname like 'dbmail\_%' and c.relkind in ('r', 'p', 'S')
    group by r.rolname, r.rolsuper
  loop
    if dbmail.rolsuper then
      raise exception 'public.% and maybe more of dbmail''s belongs to role %, a superuser, of which nobody should be a member', dbmail.relation,
        dbmail.rolname using hint = format('Give dbmail''s tables and sequences to dbmail''s own role: alter table public.%I owner to ...', dbmail.relation);
    end if;
    foreach named in array array[worker, reader] loop
      if pg_has_role(named, dbmail.rolname, 'member') then
        raise exception 'role % is a member of %, which owns dbmail''s tables', named, dbmail.rolname
          using hint = format('Name another, or: revoke %I from %I', dbmail.rolname, named);
      end if;
    end loop;
    if not pg_has_role(owner, dbmail.rolname, 'usage') then
      execute format('grant %I to %I', dbmail.rolname, owner);
    end if;
  end loop;

  -- Whoever has a right without being allowed to pass it on is only warned by GRANT.
  if not pg_has_role(owner, 'usage') then
    raise insufficient_privilege using message = format('role %s may not give rights on what %s owns', current_user, owner),
      hint = format('Run this as a superuser, or as %I.', owner);
  end if;
end
$$;
