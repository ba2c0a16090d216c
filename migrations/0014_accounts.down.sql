-- dbmail-mesh 0014, down.

set local lock_timeout = '250ms';

drop trigger _900_dbmail_mesh_deleted on public.dbmail_users;
drop trigger _900_dbmail_mesh_changed on public.dbmail_users;
drop function dbmail_mesh.write_accounts(jsonb);
drop function dbmail_mesh.lock_accounts(text[], integer[], text[]);
drop function dbmail_mesh.view_accounts(text[], integer[], text[]);
drop function dbmail_mesh.capture_user_death();
drop function dbmail_mesh.capture_user_change();

create or replace function dbmail_mesh.capture_user() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known bigint;
begin
  insert into dbmail_mesh.account (born_as, generation, user_idnr)
  select new.userid, 1 + coalesce(max(a.generation), 0), new.user_idnr from dbmail_mesh.account a where a.born_as = new.userid
  returning id into known;
  perform dbmail_mesh.note('u', known);
  return null;
end
$$;

drop view dbmail_mesh.account_state;
drop index dbmail_mesh.account_by_name;
alter table dbmail_mesh.account
  drop column renamed,
  drop column userid_stamp,
  drop column credentials_stamp,
  drop column maxmail_stamp,
  drop column maxsieve_stamp,
  drop column client_stamp,
  drop column saction_stamp,
  drop column active_stamp;

delete from dbmail_mesh.migration where version = 14;
