-- dbmail-mesh 0022, down. What is paused is paused no more; no worker runs on a node that is taken back.

set local lock_timeout = '250ms';

delete from dbmail_mesh.outbox o where o.kind = 'w';
alter table dbmail_mesh.outbox drop constraint outbox_kind_is_known,
  add constraint outbox_kind_is_known check (kind in ('u', 'b', 'e', 'm', 'n', 's'));
comment on column dbmail_mesh.outbox.kind is 'u: account.id, b: dbmail_mailboxes.mailbox_idnr, e: entry.id, m: dbmail_messages.message_idnr, n: the same, of a message that only got a new MODSEQ, s: dbmail_mailboxes.mailbox_idnr whose HIGHESTMODSEQ went up.';

create or replace function dbmail_mesh.moved_readers(most bigint)
returns table (user_idnr bigint, born_as text, generation integer, node_id smallint, lost_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select p.user_idnr, a.born_as, a.generation, s.source_id, s.since
  from dbmail_mesh.link_status s
  -- He may have come before the loss was noticed: a link waits ten minutes for an answer.
  join dbmail_mesh.presence p on p.seen_at > s.since - interval '11 minutes' and p.seen_at < 'infinity'
  join dbmail_mesh.account a on a.user_idnr = p.user_idnr
  join dbmail_mesh.reader_elsewhere e on e.born_as = a.born_as and e.generation = a.generation and e.node_id = s.source_id
  where s.state in ('failing', 'refused')
    and not exists (select from dbmail_mesh.moved_reader m
                    where m.user_idnr = p.user_idnr and m.node_id = s.source_id and m.lost_at = s.since
                      and (m.complete or m.looked_at > clock_timestamp() - interval '1 minute'))
  order by p.seen_at
  limit most
$$;

create or replace function dbmail_mesh.unacknowledged(gone smallint, silent smallint[], lost_at timestamptz, births text[], generations integer[])
returns table (born_as text, generation integer, birth_uid bigint, at timestamptz, may_have boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  with contact as (
    select k.snapshot, interval '10 s' + greatest(k.at, coalesce(
             (select s.since from dbmail_mesh.link_status s where s.source_id = gone and s.state in ('failing', 'refused')),
             clock_timestamp())) as until
    from dbmail_mesh.acknowledged k where k.target_id = gone
  ), shown as (
    select o.key, o.at
    from contact c join dbmail_mesh.outbox o on o.txid >= pg_snapshot_xmin(c.snapshot) and not pg_visible_in_snapshot(o.txid, c.snapshot)
    where o.kind = 'm' and o.shown and o.origin is null
    union all
    -- What is from others it acknowledges to them. What it has of those that cannot be asked is not known: what came last may be lacking.
    select o.key, o.at from dbmail_mesh.outbox o
    where cardinality(silent) > 0 and o.kind = 'm' and o.shown and o.origin = any (silent)
      and o.at > unacknowledged.lost_at - interval '10 minutes'
  ), lacked as (
    select s.key, min(s.at) as at from shown s group by s.key
  )
  select a.born_as, a.generation, dbmail_mesh.birth_of(l.key), l.at, l.at <= coalesce((select c.until from contact c), l.at)
  from unnest(births, generations) as w(born_as, generation)
  join dbmail_mesh.account a on a.born_as = w.born_as and a.generation = w.generation
  cross join lacked l
  join public.dbmail_messages g on g.message_idnr = l.key and g.status < 2
  join public.dbmail_mailboxes m on m.mailbox_idnr = g.mailbox_idnr
  where m.owner_idnr = a.user_idnr
     or exists (select from public.dbmail_acl c join public.dbmail_users u on u.user_idnr = c.user_id
                where c.mailbox_id = m.mailbox_idnr and (c.user_id = a.user_idnr or u.userid = 'anyone'))
$$;

drop function dbmail_mesh.takes_part();
alter table dbmail_mesh.link_status drop column obeys;
comment on column dbmail_mesh.link_status.state is 'current, working, failing or refused.';
drop table dbmail_mesh.pause;

delete from dbmail_mesh.migration where version = 22;
