-- dbmail-mesh 0019, down. Drawing and keeping up go back to what they were: deliveries draw while the rest is taken away.

set local lock_timeout = '250ms';

create or replace function dbmail_mesh.next_uid(above bigint) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  select dbmail_mesh.draw_above('public.dbmail_message_idnr_seq', n.stride, above) from dbmail_mesh.local_node n
$$;
drop function dbmail_mesh.jump_to_uid(bigint);
drop function dbmail_mesh.draw_uid();
drop function dbmail_mesh.sample_numbers(timestamptz);
drop function dbmail_mesh.numbers_in_use();
drop table dbmail_mesh.number_sample;

delete from dbmail_mesh.migration where version = 19;
