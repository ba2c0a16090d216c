-- dbmail-mesh 0033, down.

set local lock_timeout = '250ms';

drop function dbmail_mesh.settle(bigint, bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], smallint[], text[], boolean);

create or replace function dbmail_mesh.reserve(mailbox bigint, births bigint[], above bigint)
returns table (uid bigint, decided_at timestamptz)
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  insert into dbmail_mesh.reservation as r (uid, mailbox_idnr, birth_uid)
  select dbmail_mesh.next_uid(above), mailbox, b from unnest(births) b
  returning r.uid, r.reserved_at
$$;

create or replace function dbmail_mesh.in_delivery(births bigint[]) returns setof bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select v.birth_uid
  from dbmail_mesh.view_messages(births) v
  join public.dbmail_messages g on g.message_idnr = v.row_idnr
  where v.state in ('v', 'w') and exists (
    select from public.dbmail_messages s
    where s.physmessage_id = g.physmessage_id and s.message_idnr >= 281474976710656
      and not exists (select from dbmail_mesh.late l where l.row_idnr = s.message_idnr))
$$;

drop function dbmail_mesh.draw_uids(bigint, bigint);
drop function dbmail_mesh.view_held(bigint[]);

delete from dbmail_mesh.migration where version = 33;
