-- HIGHESTMODSEQ of mailboxes, and how far this node has taken over what its sources have: what it surely has of each, and what it may
-- have while it works through a range. And its clock, in microseconds since 2020.
-- $1 mailbox_idnr.
select coalesce((select jsonb_agg(jsonb_build_object('mailbox', m.mailbox_idnr, 'seq', m.seq) order by m.mailbox_idnr)
                 from public.dbmail_mailboxes m where m.mailbox_idnr = any ($1::bigint[])), '[]'::jsonb) as tides,
       coalesce((select jsonb_object_agg(c.source_id, jsonb_build_array(c.from_snapshot::text,
                                                                        coalesce(c.to_snapshot, c.from_snapshot)::text))
                 from dbmail_mesh.cursor c), '{}'::jsonb) as cursors,
       floor(extract(epoch from clock_timestamp()) * 1000000)::bigint - 1577836800000000 as clock
