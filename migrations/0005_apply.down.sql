-- dbmail-mesh 0005, down.

drop function dbmail_mesh.store_headers(bigint[], text[], text[], text[], text[], text[]);
drop function dbmail_mesh.store_sliced_part(bigint, smallint, integer, integer, integer, text, bigint, bigint);
drop function dbmail_mesh.store_parts(bigint[], smallint[], integer[], integer[], integer[], text[], bytea[], bigint[]);
drop function dbmail_mesh.store_physmessages(smallint[], bigint[], bigint[], bigint[], text[]);
drop function dbmail_mesh.headername(text);
drop function dbmail_mesh.keep_content(bigint[]);
drop function dbmail_mesh.find_content(smallint[], bigint[]);
drop function dbmail_mesh.purge_outbox(interval);
drop function dbmail_mesh.keep_up(bigint, bigint);
drop function dbmail_mesh.sweep_overtaking(bigint);
drop function dbmail_mesh.reserve(bigint, bigint[], bigint);
drop function dbmail_mesh.write_plan(jsonb);
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
