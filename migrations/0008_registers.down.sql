-- dbmail-mesh 0008, down.

set local lock_timeout = '250ms';

create or replace function dbmail_mesh.capture_user() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into dbmail_mesh.outbox (kind, key) values ('u', new.user_idnr);
  perform dbmail_mesh.ring();
  return null;
end
$$;

-- Keys of accounts mean nothing to what is left; a worker of the version before joins these nodes anew.
delete from dbmail_mesh.outbox where kind in ('u', 'e');
update dbmail_mesh.cursor set copy_stage = 'm', copy_position = 0 where copy_stage = 'e';
alter table dbmail_mesh.outbox drop constraint outbox_kind_is_known,
  add constraint outbox_kind_is_known check (kind in ('u', 'b', 'm'));
alter table dbmail_mesh.cursor drop constraint cursor_copy_stage_is_known,
  add constraint cursor_copy_stage_is_known check (copy_stage in ('u', 'b', 'm', 't'));
comment on column dbmail_mesh.outbox.kind is 'u: dbmail_users.user_idnr, b: dbmail_mailboxes.mailbox_idnr, m: dbmail_messages.message_idnr.';
comment on column dbmail_mesh.cursor.copy_stage is 'First copy: what is being copied (u users, b mailboxes, m messages, t tombstones); null when it is done.';

drop function dbmail_mesh.note("char", bigint);
drop function dbmail_mesh.user_of(text);
drop function dbmail_mesh.account_of(bigint);
drop table dbmail_mesh.mailbox_fate;
drop table dbmail_mesh.account;
drop function dbmail_mesh.stamped_by(bigint);
drop function dbmail_mesh.stamped_at(bigint);
drop function dbmail_mesh.next_stamp(bigint);

delete from dbmail_mesh.migration where version = 8;
