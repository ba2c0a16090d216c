-- dbmail-mesh 0002, down: dbmail numbers its rows itself again, above every number that was ever used here.
-- Messages that wait for their number go back to a mailbox first: nothing that arrived is dropped.

set local lock_timeout = '250ms';

drop trigger _100_dbmail_mesh_number on public.dbmail_messages;

do $$
declare
  used bigint;
begin
  lock table public.dbmail_messages, public.dbmail_mailboxes in access exclusive mode;
  select greatest(
    (select max(message_idnr) from public.dbmail_messages where message_idnr < 8589934592),
    (select case when is_called then last_value else last_value - 1 end from public.dbmail_message_idnr_seq),
    (select max(high) from dbmail_mesh.line), (select max(uid) from dbmail_mesh.reservation),
    (select max(uid) from dbmail_mesh.number), 0) into used;
  execute format('alter sequence public.dbmail_message_idnr_seq increment by 1 restart with %s', used + 1);
  -- A late message is shown under a plain new number of this node.
  with due as (
    select row_idnr, mailbox_idnr, status from dbmail_mesh.late
    where row_idnr >= 8589934592 and exists (select from public.dbmail_mailboxes m where m.mailbox_idnr = late.mailbox_idnr)
    order by uid
  )
  update public.dbmail_messages g
  set message_idnr = nextval('public.dbmail_message_idnr_seq'), mailbox_idnr = due.mailbox_idnr, status = due.status
  from due where g.message_idnr = due.row_idnr;
  update public.dbmail_mailboxes set seq = seq + 1
  where mailbox_idnr in (select mailbox_idnr from dbmail_mesh.late where row_idnr >= 8589934592);
  -- What is left above 2^33 is dbmail's own staging.
  update public.dbmail_messages set message_idnr = nextval('public.dbmail_message_idnr_seq') where message_idnr >= 8589934592;
  select greatest((select max(mailbox_idnr) from public.dbmail_mailboxes), (select max(mailbox_idnr) from dbmail_mesh.line),
    (select case when is_called then last_value else last_value - 1 end from public.dbmail_mailbox_idnr_seq), 0) into used;
  execute format('alter sequence public.dbmail_mailbox_idnr_seq increment by 1 restart with %s', used + 1);
end
$$;

alter table public.dbmail_messages alter column message_idnr set default nextval('public.dbmail_message_idnr_seq'::regclass);

drop function dbmail_mesh.number_new_message();
drop function dbmail_mesh.number_without_lock(bigint);
drop function dbmail_mesh.number_in(bigint);
drop function dbmail_mesh.await_line(bigint);
drop function dbmail_mesh.stand_in_for(bigint);
drop function dbmail_mesh.next_uid(bigint);
drop function dbmail_mesh.draw_above(regclass, bigint, bigint);

delete from dbmail_mesh.migration where version = 2;
