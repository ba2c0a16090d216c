-- dbmail-mesh 0009, down.

set local lock_timeout = '250ms';

drop trigger _900_dbmail_mesh_changed on public.dbmail_mailboxes;
drop trigger _900_dbmail_mesh_deleted on public.dbmail_mailboxes;

create or replace function dbmail_mesh.capture_mailbox() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.line (mailbox_idnr, owner_idnr) values (new.mailbox_idnr, new.owner_idnr) on conflict do nothing;
  if current_setting('dbmail_mesh.applying', true) is distinct from 'on'
     and not exists (select from public.dbmail_users u
                     where u.user_idnr = new.owner_idnr and u.userid = '__@!internal_delivery_user!@__') then
    insert into dbmail_mesh.outbox (kind, key) values ('b', new.mailbox_idnr);
    perform dbmail_mesh.ring();
  end if;
  return null;
end
$$;

drop function dbmail_mesh.write_mailboxes(jsonb);
drop function dbmail_mesh.write_mailbox_fates(jsonb);
drop function dbmail_mesh.write_mailbox_rows(jsonb);
drop function dbmail_mesh.lock_planned_mailboxes(jsonb);
drop function dbmail_mesh.mailbox_rows(jsonb);
drop view dbmail_mesh.mailbox_conflicts;
drop table dbmail_mesh.mailbox_conflict;
drop function dbmail_mesh.capture_mailbox_end();
drop function dbmail_mesh.capture_mailbox_change();
drop function dbmail_mesh.is_staging_owner(bigint);
drop function dbmail_mesh.mailbox_of(bigint);
drop table dbmail_mesh.mailbox_register;

delete from dbmail_mesh.migration where version = 9;
