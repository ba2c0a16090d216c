-- $1 mailbox_idnr; $2 birth UIDs, $3 their rows, $4 their old UIDs, $5 their new ones; $6 numbers, $7 their messages, $8 by which nodes,
-- $9 and when they were given; $10 whether it goes ahead even if a session of dbmail waits for one of the messages.
select dbmail_mesh.settle(
  $1, $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::smallint[], $9::text[], $10)
