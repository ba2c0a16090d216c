-- dbmail-mesh 0005, down.

drop function dbmail_mesh.purge_outbox(interval);
drop function dbmail_mesh.keep_up(bigint, bigint);
drop function dbmail_mesh.sweep_overtaking(bigint);
drop function dbmail_mesh.reserve(bigint, bigint[], bigint);
drop function dbmail_mesh.write_plan(jsonb);
drop function dbmail_mesh.is_waited_for();
drop function dbmail_mesh.write_sizes(bigint[], bigint[]);
drop function dbmail_mesh.write_hides(jsonb);
drop function dbmail_mesh.write_takes(jsonb);
drop function dbmail_mesh.write_moves(jsonb);
drop function dbmail_mesh.write_kills(jsonb);
drop function dbmail_mesh.lock_and_view(bigint[], bigint[]);
drop function dbmail_mesh.in_delivery(bigint[]);
drop function dbmail_mesh.view_messages(bigint[]);
drop function dbmail_mesh.staging_mailbox();
drop function dbmail_mesh.guard(integer, integer);

delete from dbmail_mesh.migration where version = 5;
