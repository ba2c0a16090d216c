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
    (select max(message_idnr) from public.dbmail_messages where message_idnr < 281474976710656),
    (select case when is_called then last_value else last_value - 1 end from public.dbmail_message_idnr_seq),
    (select max(high) from dbmail_mesh.line), (select max(uid) from dbmail_mesh.reservation),
    (select max(uid) from dbmail_mesh.number), 0) into used;
  execute format('alter sequence public.dbmail_message_idnr_seq increment by 1 restart with %s', used + 1);
  -- A late message is shown under a plain new number of this node; in its owner's INBOX where its mailbox is gone.
  with due as (
    select l.row_idnr, coalesce(m.mailbox_idnr, dbmail_mesh.stand_in_for(l.mailbox_idnr)) as mailbox_idnr, l.status
    from dbmail_mesh.late l left join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
    where l.row_idnr >= 281474976710656
    order by l.uid
  ), bumped as (
    update public.dbmail_mailboxes m set seq = m.seq + 1
    where m.mailbox_idnr in (select due.mailbox_idnr from due) returning m.mailbox_idnr, m.seq
  )
  update public.dbmail_messages g
  set message_idnr = nextval('public.dbmail_message_idnr_seq'), mailbox_idnr = due.mailbox_idnr, status = due.status, seq = b.seq
  from due join bumped b on b.mailbox_idnr = due.mailbox_idnr where g.message_idnr = due.row_idnr;
  -- What is left above 2^48 is dbmail's own staging: deliveries that are under way. They find their rows, and remove them.
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
