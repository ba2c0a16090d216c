-- dbmail-mesh 0006, down.

drop function dbmail_mesh.store_headers(bigint[], text[], text[], text[], text[], text[]);
drop function dbmail_mesh.store_sliced_part(bigint, smallint, integer, integer, integer, text, bigint, bigint);
drop function dbmail_mesh.store_parts(bigint[], smallint[], integer[], integer[], integer[], text[], bytea[], bigint[]);
drop function dbmail_mesh.store_physmessages(smallint[], bigint[], bigint[], bigint[], text[]);
drop function dbmail_mesh.headername(text);
drop function dbmail_mesh.keep_content(bigint[]);
drop function dbmail_mesh.find_content(smallint[], bigint[]);

delete from dbmail_mesh.migration where version = 6;
