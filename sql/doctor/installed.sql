-- What an installed node has of what numbering and capturing need, as one JSON object. Takes no locks; the highest numbers of its own
-- class come backwards through primary keys.
select jsonb_build_object(
  'node_id', n.node_id,
  'stride', n.stride,
  'uids', jsonb_build_object(
    'last_value', u.last_value, 'increment', us.seqincrement, 'cache', us.seqcache, 'cycles', us.seqcycle,
    'highest', greatest(
      (select g.message_idnr from public.dbmail_messages g
       where g.message_idnr < 281474976710656 and g.message_idnr % n.stride = n.node_id % n.stride
       order by g.message_idnr desc limit 1),
      (select max(r.uid) from dbmail_mesh.reservation r where r.uid % n.stride = n.node_id % n.stride), 0)),
  'mailboxes', jsonb_build_object(
    'last_value', b.last_value, 'increment', bs.seqincrement, 'cache', bs.seqcache, 'cycles', bs.seqcycle,
    'highest', greatest(
      (select m.mailbox_idnr from public.dbmail_mailboxes m
       where m.mailbox_idnr % n.stride = n.node_id % n.stride order by m.mailbox_idnr desc limit 1), 0)),
  'physmessages', jsonb_build_object(
    'last_value', p.last_value, 'increment', ps.seqincrement, 'cache', ps.seqcache, 'cycles', ps.seqcycle,
    'highest', coalesce((select max(i.id) from public.dbmail_physmessage i), 0)),
  'uid_has_default', (
    select a.atthasdef from pg_attribute a where a.attrelid = 'public.dbmail_messages'::regclass and a.attname = 'message_idnr'),
  'mailbox_has_default', (
    select a.atthasdef from pg_attribute a where a.attrelid = 'public.dbmail_mailboxes'::regclass and a.attname = 'mailbox_idnr'),
  'indexes', (
    select coalesce(jsonb_agg(c.relname), '[]')
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace s on s.oid = c.relnamespace
    where s.nspname = 'dbmail_mesh' and i.indisvalid and i.indisready),
  'outbox_rows', (select count(*) from dbmail_mesh.outbox),
  'outbox_oldest_seconds', (select extract(epoch from clock_timestamp() - min(o.at)) from dbmail_mesh.outbox o),
  'outbox_bytes', pg_total_relation_size('dbmail_mesh.outbox'),
  'outbox_dead_rows', (select t.n_dead_tup from pg_stat_user_tables t where t.relid = 'dbmail_mesh.outbox'::regclass)
) as facts
from dbmail_mesh.local_node n
cross join public.dbmail_message_idnr_seq u
cross join public.dbmail_mailbox_idnr_seq b
cross join public.dbmail_physmessage_id_seq p
join pg_sequence us on us.seqrelid = 'public.dbmail_message_idnr_seq'::regclass
join pg_sequence bs on bs.seqrelid = 'public.dbmail_mailbox_idnr_seq'::regclass
join pg_sequence ps on ps.seqrelid = 'public.dbmail_physmessage_id_seq'::regclass
