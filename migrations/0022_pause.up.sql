-- dbmail-mesh 0022: links, and whole nodes, that somebody has paused; and a mark by which one waits until all is everywhere.
--
-- A pause is a row on one node, so that every worker, wherever it runs and however often it is started anew, obeys it. That of a link is on
-- its target, that of a node on the node itself: its links in both directions look there.

set local lock_timeout = '250ms';

create table dbmail_mesh.pause (
  source_id smallint primary key,
  token uuid not null default gen_random_uuid(),
  since timestamptz not null default clock_timestamp(),
  paused_by text not null,
  reason text,
  settles_until timestamptz not null default clock_timestamp(),
  constraint pause_is_of_a_node check (source_id >= 0)
);
comment on table dbmail_mesh.pause is 'What stands still here because somebody said so: links into this node, or the node itself. Written by "dbmail-mesh pause" and "resume".';
comment on column dbmail_mesh.pause.source_id is 'The source of the link; 0: this node with all links into it and out of it.';
comment on column dbmail_mesh.pause.token is 'Tells this pause from an earlier one: what obeys it says so in link_status.obeys.';
comment on column dbmail_mesh.pause.since is 'Since when.';
comment on column dbmail_mesh.pause.paused_by is 'Who paused it: user and host of whoever ran the command.';
comment on column dbmail_mesh.pause.reason is 'Why, as far as he said so.';
comment on column dbmail_mesh.pause.settles_until is 'Of this node: until then it takes part in settlements, so that what is late here does not stay hidden for as long as the pause.';

alter table dbmail_mesh.link_status add column obeys uuid[];
comment on column dbmail_mesh.link_status.obeys is 'Tokens of the pauses that the link stands still for; what they were last, once it goes on.';
comment on column dbmail_mesh.link_status.state is 'current, working, failing, refused or paused.';

create function dbmail_mesh.takes_part() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select not exists (select from dbmail_mesh.pause p where p.source_id = 0 and p.settles_until <= clock_timestamp())
     and not exists (select from dbmail_mesh.local_node n where n.left_at is not null)
$$;
comment on function dbmail_mesh.takes_part is 'Whether this node takes part in settlements: not while it is paused, and not while it stays out of the mesh.';

-- To the others a node that is paused is one that they cannot reach: whoever comes from there has been shown what they do not know of,
-- and lacks what it never got. It may never come back, so they do not wait for that.
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
  where s.state in ('failing', 'refused', 'paused')
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
             (select s.since from dbmail_mesh.link_status s where s.source_id = gone and s.state in ('failing', 'refused', 'paused')),
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

alter table dbmail_mesh.outbox drop constraint outbox_kind_is_known,
  add constraint outbox_kind_is_known check (kind in ('u', 'b', 'e', 'm', 'n', 's', 'w'));
comment on column dbmail_mesh.outbox.kind is 'u: account.id, b: dbmail_mailboxes.mailbox_idnr, e: entry.id, m: dbmail_messages.message_idnr, n: the same, of a message that only got a new MODSEQ, s: dbmail_mailboxes.mailbox_idnr whose HIGHESTMODSEQ went up, w: a mark of somebody who waits until all before it is everywhere.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (22, 'pause');
