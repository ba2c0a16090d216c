-- dbmail-mesh 0023: what a DBA asks. Views and functions that only read; sql/inspect/ has ready files for psql.
--
-- All of it is asked of one node and tells what that node knows. Whatever is made for a person narrows by time, mailbox or UID, for which
-- there are indexes; what has to read a whole table says so in its comment.

set local lock_timeout = '250ms';

-- Both tables only grow, in the order of time: a few kilobytes tell where a day begins, and a row more costs nothing.
create index renumber_log_by_time on dbmail_mesh.renumber_log using brin (applied_at) with (pages_per_range = 32);
create index tombstone_by_time on dbmail_mesh.tombstone using brin (died_at) with (pages_per_range = 32);

create view dbmail_mesh.members as
select n.node_id, n.node_name as name, n.installed_at as member_since, true as is_here from dbmail_mesh.local_node n
union all
select p.node_id, p.node_name, p.admitted_at, false from dbmail_mesh.peer p;
comment on view dbmail_mesh.members is 'This node and the peers that it has accepted.';
comment on column dbmail_mesh.members.node_id is 'Number of the node.';
comment on column dbmail_mesh.members.name is 'Its name.';
comment on column dbmail_mesh.members.member_since is 'Of this node when it was installed, of a peer when it was accepted here.';
comment on column dbmail_mesh.members.is_here is 'Whether it is this node.';

create view dbmail_mesh.expunges as
select t.died_at, u.userid as owner, m.name as mailbox, t.mailbox_idnr, t.uid, t.birth_uid,
       case when t.birth_uid > n.adopted_uid then b.name end as born_on,
       case when m.mailbox_idnr is not null then 'there' when f.merged_into is not null then 'merged into ' || f.merged_into
            else 'deleted' end as mailbox_is
from dbmail_mesh.tombstone t
cross join dbmail_mesh.local_node n
left join dbmail_mesh.members b on b.node_id = case when mod(t.birth_uid, n.stride) = 0 then n.stride else mod(t.birth_uid, n.stride) end
left join dbmail_mesh.line l on l.mailbox_idnr = t.mailbox_idnr
left join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = t.mailbox_idnr
left join public.dbmail_mailboxes m on m.mailbox_idnr = t.mailbox_idnr
left join public.dbmail_users u on u.user_idnr = coalesce(m.owner_idnr, l.owner_idnr);
comment on view dbmail_mesh.expunges is 'Messages that are dead for ever, as this node learned of it. The node with the earliest died_at is where it was expunged.';
comment on column dbmail_mesh.expunges.died_at is 'When this node expunged it, or learned of that.';
comment on column dbmail_mesh.expunges.owner is 'userid of the mailbox''s owner; null when he is gone.';
comment on column dbmail_mesh.expunges.mailbox is 'Name of the mailbox; null when it is gone.';
comment on column dbmail_mesh.expunges.mailbox_idnr is 'Its id, and UIDVALIDITY.';
comment on column dbmail_mesh.expunges.uid is 'The UID that the message had when it died.';
comment on column dbmail_mesh.expunges.birth_uid is 'The first UID that it ever had.';
comment on column dbmail_mesh.expunges.born_on is 'Node on which it was delivered; null: it was there before dbmail-mesh, or that node is no member any more.';
comment on column dbmail_mesh.expunges.mailbox_is is 'there, deleted (the message went with it, or before), or merged into another.';

create function dbmail_mesh.history(wanted bigint)
returns table (at timestamptz, event text, uid bigint, node text, detail text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  with b as materialized (select dbmail_mesh.birth_of(wanted) as birth),
  known as materialized (
    select b.birth, r.state, r.current_uid, r.owner, r.mailbox, r.mailbox_idnr from b cross join dbmail_mesh.resolve(b.birth) r
  ),
  stamps as (
    select s.what, s.stamp from b join dbmail_mesh.message_register r on r.birth_uid = b.birth
    cross join lateral (values ('\Seen', r.seen), ('\Answered', r.answered), ('\Deleted', r.deleted), ('\Flagged', r.flagged),
                               ('\Draft', r.draft)) s(what, stamp)
    union all
    select k.keyword || case when k.present then '' else ' taken away' end, k.stamp
    from b join dbmail_mesh.keyword_register k on k.birth_uid = b.birth
  ),
  events as (
    -- By null first: nobody has written down when.
    select null::timestamptz as at, 0 as place, 'born' as event, k.birth as uid,
           case when k.birth > n.adopted_uid then
             (select m.name from dbmail_mesh.members m
              where m.node_id = case when mod(k.birth, n.stride) = 0 then n.stride else mod(k.birth, n.stride) end) end as node,
           case when k.birth > n.adopted_uid then 'delivered, appended or copied there' else 'it was here before dbmail-mesh' end as detail
    from known k cross join dbmail_mesh.local_node n where k.state <> 'unknown'
    union all
    select l.first_seen, 1, 'late here', l.uid, null,
           case when l.row_idnr >= 281474976710656 then 'hidden: it' else 'visible under its old UID, and' end || ' waits for a new UID'
    from b join dbmail_mesh.late l on l.birth_uid = b.birth
    union all
    select r.reserved_at, 2, 'number reserved', r.uid, (select n.node_name from dbmail_mesh.local_node n),
           case when exists (select from dbmail_mesh.number x where x.uid = r.uid) then 'and used' else 'and not used' end
    from b join dbmail_mesh.reservation r on r.birth_uid = b.birth
    union all
    select x.decided_at, 3, 'new UID decided', x.uid, m.name, 'by that node''s clock'
    from b join dbmail_mesh.number x on x.birth_uid = b.birth left join dbmail_mesh.members m on m.node_id = x.decided_by
    union all
    select r.applied_at, 4, 'renumbered here', r.new_uid, null,
           'was ' || r.old_uid || case when r.was_visible then ', which clients here may have seen: they download it again'
                                       else ', which no client here has seen' end
    from b join dbmail_mesh.renumber_log r on r.birth_uid = b.birth
    union all
    select dbmail_mesh.stamped_at(r.place), 5, 'moved', null, m.name, 'into the mailbox in which it is, or died'
    from b join dbmail_mesh.message_register r on r.birth_uid = b.birth and r.place > 0
    left join dbmail_mesh.members m on m.node_id = dbmail_mesh.stamped_by(r.place)
    union all
    select dbmail_mesh.stamped_at(s.stamp), 6, 'flag changed', null, m.name, s.what
    from stamps s left join dbmail_mesh.members m on m.node_id = dbmail_mesh.stamped_by(s.stamp) where s.stamp > 0
    union all
    select t.died_at, 7, 'expunged', t.uid, null, 'here, or this node was told then'
    from b join dbmail_mesh.tombstone t on t.birth_uid = b.birth
    union all
    select clock_timestamp(), 8, 'now', k.current_uid, null,
           case k.state when 'renumbered' then 'visible' when 'current' then 'visible' else k.state end
             || case when k.state = 'unknown' then ': no message here has had this UID'
                     else ' in ' || coalesce(k.owner, '?') || ' / ' || coalesce(k.mailbox, 'mailbox ' || k.mailbox_idnr) end
    from known k
  )
  select e.at, e.event, e.uid, e.node, e.detail from events e order by e.at nulls first, e.place, e.uid
$$;
comment on function dbmail_mesh.history is 'All that this node knows of the message that has, or ever had, a UID, in the order of time. node: where that happened, where it is known. Times of other nodes are by their clocks.';

create function dbmail_mesh.mailboxes_of_user(wanted text)
returns table (mailbox_idnr bigint, name text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Those that are gone are known by their lines.
  select m.mailbox_idnr, m.name::text
  from public.dbmail_users u join public.dbmail_mailboxes m on m.owner_idnr = u.user_idnr
  where u.userid = wanted
  union all
  select l.mailbox_idnr, null
  from public.dbmail_users u join dbmail_mesh.line l on l.owner_idnr = u.user_idnr
  where u.userid = wanted and not exists (select from public.dbmail_mailboxes m where m.mailbox_idnr = l.mailbox_idnr)
$$;
comment on function dbmail_mesh.mailboxes_of_user is 'The mailboxes of a user, with those that are gone, which have no name. Reads the lines of all mailboxes.';

create function dbmail_mesh.mail_events(wanted text, since timestamptz)
returns table (at timestamptz, mailbox text, event text, uid bigint, became bigint, detail text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  with b as materialized (select u.mailbox_idnr, coalesce(u.name, 'gone: ' || u.mailbox_idnr) as name
                          from dbmail_mesh.mailboxes_of_user(wanted) u)
  select r.applied_at, b.name, 'renumbered', r.old_uid, r.new_uid,
         case when r.was_visible then 'clients may have it twice' else 'no client here knew the old UID' end
  -- By the index of each mailbox, however long the time: a join might be planned as a walk through everything.
  from b cross join lateral (select g.* from dbmail_mesh.renumber_log g
                             where g.mailbox_idnr = b.mailbox_idnr and g.applied_at >= since offset 0) r
  union all
  select t.died_at, b.name, 'expunged', t.uid, null, case when t.uid <> t.birth_uid then 'was ' || t.birth_uid || ' at first' end
  from b cross join lateral (select g.* from dbmail_mesh.tombstone g
                             where g.mailbox_idnr = b.mailbox_idnr and g.died_at >= since offset 0) t
  union all
  select l.first_seen, b.name, 'late', l.uid, null,
         case when l.row_idnr >= 281474976710656 then 'hidden until it has its new UID' else 'visible under its old UID until then' end
  from b join dbmail_mesh.late l on l.mailbox_idnr = b.mailbox_idnr
  union all
  select c.seen_at, b.name, 'mailbox ' || c.what, null, null,
         coalesce(c.name, '?') || ' (' || c.mailbox_idnr || ')' || case when c.what = 'merged' then ' into ' else ' gave way to ' end
           || c.other_idnr || coalesce(' and is called ' || c.new_name, '')
  from b join dbmail_mesh.mailbox_conflict c on c.mailbox_idnr = b.mailbox_idnr and c.seen_at >= since
  union all
  select f.decided_at, b.name, case when f.merged_into is null then 'mailbox deleted' else 'mailbox merged' end, null, null,
         case when f.merged_into is null then 'what was not seen by whoever deleted it is in INBOX' else 'into ' || f.merged_into end
  from b join dbmail_mesh.mailbox_fate f on f.mailbox_idnr = b.mailbox_idnr and f.decided_at >= since
  where not exists (select from dbmail_mesh.mailbox_conflict c where c.mailbox_idnr = f.mailbox_idnr and c.what = 'merged')
  union all
  select v.looked_at, null, 'came from a lost node', null, null,
         v.messages || ' messages got new UIDs, since ' || coalesce(p.node_name, 'node ' || v.node_id) || ' may never have had them'
  from public.dbmail_users u join dbmail_mesh.moved_reader v on v.user_idnr = u.user_idnr and v.looked_at >= since
  left join dbmail_mesh.peer p on p.node_id = v.node_id
  where u.userid = wanted
$$;
comment on function dbmail_mesh.mail_events is 'What dbmail-mesh did with the mail of a user on this node since a time, and what was expunged: why mail vanished, or came twice. Expunges of all time are read for it, those of his mailboxes only.';

create function dbmail_mesh.mailboxes_renumbered(since timestamptz)
returns table (owner text, mailbox text, mailbox_idnr bigint, renumbers bigint, messages bigint, seen bigint, last_at timestamptz,
               decided_on text, read_because text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  with by_node as (
    select r.mailbox_idnr, r.decided_by, count(*) as renumbers, count(distinct r.birth_uid) as messages,
           count(*) filter (where r.was_visible) as seen, max(r.applied_at) as last_at
    from dbmail_mesh.renumber_log r where r.applied_at >= since
    group by r.mailbox_idnr, r.decided_by
  ), by_mailbox as (
    select e.mailbox_idnr, sum(e.renumbers)::bigint as renumbers, sum(e.seen)::bigint as seen, max(e.last_at) as last_at,
           sum(e.messages)::bigint as messages,
           string_agg(coalesce(m.name, 'node ' || e.decided_by) || ' ' || e.renumbers, ', ' order by e.renumbers desc, e.decided_by)
             as decided_on
    from by_node e left join dbmail_mesh.members m on m.node_id = e.decided_by
    group by e.mailbox_idnr
  )
  select u.userid::text, m.name::text, e.mailbox_idnr, e.renumbers, e.messages, e.seen, e.last_at, e.decided_on,
         (select l.why from dbmail_mesh.reported_lines l where l.mailbox_idnr = e.mailbox_idnr)
  from by_mailbox e
  left join dbmail_mesh.line i on i.mailbox_idnr = e.mailbox_idnr
  left join public.dbmail_mailboxes m on m.mailbox_idnr = e.mailbox_idnr
  left join public.dbmail_users u on u.user_idnr = coalesce(m.owner_idnr, i.owner_idnr)
$$;
comment on function dbmail_mesh.mailboxes_renumbered is 'Mailboxes in which messages were renumbered here since a time: how many new UIDs (renumbers), by how many messages at the most, how many of the old UIDs clients may have seen, which nodes decided, and why the mailbox counts as read here, without which nothing would be late. Reads the renumber log from that time on.';

create view dbmail_mesh.lag as
select p.node_id as peer_id, p.node_name as peer, 'in' as direction,
       case when w.since is not null then 'paused' when c.source_id is null then 'not begun' else coalesce(s.state, 'working') end as state,
       coalesce(w.since, s.since) as state_since, null::bigint as messages,
       extract(epoch from clock_timestamp() - c.moved_at)::numeric(20, 1) as seconds, c.moved_at as last_at,
       nullif(concat_ws('; ', w.why, case when c.copy_stage is not null then 'first copy, stage ' || c.copy_stage::text end,
                        case when s.state in ('failing', 'refused') then s.last_error end,
                        (select count(*) || ' rows set aside' from dbmail_mesh.set_aside a where a.source_id = p.node_id
                         having count(*) > 0)), '') as remark
from dbmail_mesh.peer p
left join dbmail_mesh.cursor c on c.source_id = p.node_id
left join dbmail_mesh.link_status s on s.source_id = p.node_id
left join lateral (select min(x.since) as since, string_agg('paused by ' || x.paused_by || coalesce(': ' || x.reason, ''), '; ') as why
                   from dbmail_mesh.pause x where x.source_id in (0, p.node_id)) w on true
union all
select p.node_id, p.node_name, 'out', case when a.target_id is null then 'not begun' when o.messages > 0 then 'behind' else 'current' end,
       null, o.messages, o.seconds::numeric(20, 1), a.at, null
from dbmail_mesh.peer p
left join dbmail_mesh.acknowledged a on a.target_id = p.node_id
left join lateral (
  select count(*) as messages, coalesce(greatest(extract(epoch from clock_timestamp() - min(b.at)), 0), 0) as seconds
  from dbmail_mesh.outbox b
  where b.txid >= pg_snapshot_xmin(a.snapshot) and b.kind = 'm' and b.origin is null and not pg_visible_in_snapshot(b.txid, a.snapshot)
) o on a.target_id is not null;
comment on view dbmail_mesh.lag is 'The links of this node, as it sees them by itself: those into it (in) by how far it has got, those out of it (out) by what their targets have acknowledged. Reads the outbox from there on: as long as that is.';
comment on column dbmail_mesh.lag.peer_id is 'Number of the other node.';
comment on column dbmail_mesh.lag.peer is 'Its name.';
comment on column dbmail_mesh.lag.direction is 'in: from there to here; out: from here to there.';
comment on column dbmail_mesh.lag.state is 'in: what the worker last said (current, working, failing, refused), paused, or not begun; out: current, behind, or not begun.';
comment on column dbmail_mesh.lag.state_since is 'Since when; of out not known.';
comment on column dbmail_mesh.lag.messages is 'out: changes to messages that the target has not acknowledged. in: only the source can tell.';
comment on column dbmail_mesh.lag.seconds is 'out: how long the first of them has been waiting. in: how long ago the cursor last moved; one that has nothing to do moves every ten seconds.';
comment on column dbmail_mesh.lag.last_at is 'When the cursor last moved (in), or when the target last acknowledged something new (out).';
comment on column dbmail_mesh.lag.remark is 'What else is to be said of it.';

create view dbmail_mesh.outbox_by_peer as
select p.node_id as peer_id, p.node_name as peer, a.at as acknowledged_at, o.rows, o.messages, o.oldest,
       extract(epoch from clock_timestamp() - o.oldest)::numeric(20, 1) as oldest_seconds,
       a.target_id is null or pg_snapshot_xmin(a.snapshot) = x.lowest and not x.is_lacking as holds
from dbmail_mesh.peer p
left join dbmail_mesh.acknowledged a on a.target_id = p.node_id
cross join (select min(pg_snapshot_xmin(k.snapshot)::text::bigint)::text::xid8 as lowest, bool_or(k.target_id is null) as is_lacking
            from dbmail_mesh.peer q left join dbmail_mesh.acknowledged k on k.target_id = q.node_id) x
cross join lateral (
  select count(*) as rows, count(*) filter (where b.kind = 'm') as messages, min(b.at) as oldest
  from dbmail_mesh.outbox b
  where b.txid >= coalesce(pg_snapshot_xmin(a.snapshot), '0'::xid8)
    and (a.snapshot is null or not pg_visible_in_snapshot(b.txid, a.snapshot))) o;
comment on view dbmail_mesh.outbox_by_peer is 'What of the outbox each peer has not acknowledged. The outbox is emptied below what all have, and after worker.outbox_keep. Reads it once a peer, from there on.';
comment on column dbmail_mesh.outbox_by_peer.peer_id is 'Number of the peer.';
comment on column dbmail_mesh.outbox_by_peer.peer is 'Its name.';
comment on column dbmail_mesh.outbox_by_peer.acknowledged_at is 'When it last acknowledged something new; null: never.';
comment on column dbmail_mesh.outbox_by_peer.rows is 'Rows that it has not acknowledged, of all kinds, those that came from elsewhere included.';
comment on column dbmail_mesh.outbox_by_peer.messages is 'Changes to messages among them.';
comment on column dbmail_mesh.outbox_by_peer.oldest is 'When the first of them was written.';
comment on column dbmail_mesh.outbox_by_peer.oldest_seconds is 'How long ago that was.';
comment on column dbmail_mesh.outbox_by_peer.holds is 'Whether the outbox is not emptied further because of this peer.';

create view dbmail_mesh.waiting as
with troubles as (
  select string_agg('that from ' || p.node_name || ' is ' || case when w.is_paused then 'paused' else s.state end, ', ' order by p.node_id)
           as links
  from dbmail_mesh.peer p
  left join dbmail_mesh.link_status s on s.source_id = p.node_id
  cross join lateral (select exists (select from dbmail_mesh.pause x where x.source_id = p.node_id) as is_paused) w
  where w.is_paused or s.state <> 'current'
)
select 'late messages' as what, coalesce(u.userid, '?') || ' / ' || coalesce(m.name, 'mailbox ' || l.mailbox_idnr) as where_,
       l.rows, l.since,
       l.hidden || ' hidden; ' || case when not dbmail_mesh.takes_part() then 'this node is paused'
         when clock_timestamp() - l.since < interval '10 s' then 'about to be settled'
         when t.links is not null then 'of the links into this node, ' || t.links
         else 'another node may be behind, or in no worker''s reach' end as why
from (select x.mailbox_idnr, count(*) as rows, min(x.first_seen) as since,
             count(*) filter (where x.row_idnr >= 281474976710656) as hidden
      from dbmail_mesh.late x
      where not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = x.mailbox_idnr)
      group by x.mailbox_idnr) l
cross join troubles t
left join dbmail_mesh.line i on i.mailbox_idnr = l.mailbox_idnr
left join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
left join public.dbmail_users u on u.user_idnr = coalesce(m.owner_idnr, i.owner_idnr)
union all
select 'set aside', 'from ' || coalesce(p.node_name, 'node ' || a.source_id), count(*), min(a.first_seen), a.reason
from dbmail_mesh.set_aside a left join dbmail_mesh.peer p on p.node_id = a.source_id
group by a.source_id, p.node_name, a.reason
union all
select 'link ' || s.state, 'from ' || coalesce(p.node_name, 'node ' || s.source_id), null, s.since, s.last_error
from dbmail_mesh.link_status s left join dbmail_mesh.peer p on p.node_id = s.source_id
where s.state in ('failing', 'refused')
union all
select 'paused', case when x.source_id = 0 then 'this node' else 'link from ' || coalesce(p.node_name, 'node ' || x.source_id) end, null,
       x.since, x.paused_by || coalesce(': ' || x.reason, '')
from dbmail_mesh.pause x left join dbmail_mesh.peer p on p.node_id = x.source_id
union all
select 'first copy', 'from ' || coalesce(p.node_name, 'node ' || c.source_id), null, null, 'stage ' || c.copy_stage::text || ', at ' || c.copy_position
from dbmail_mesh.cursor c left join dbmail_mesh.peer p on p.node_id = c.source_id
where c.copy_stage is not null
union all
select 'mailbox to go', coalesce(u.userid, '?') || ' / ' || coalesce(m.name, 'mailbox ' || f.mailbox_idnr), null, f.decided_at,
       case when f.merged_into is not null then 'its messages go into mailbox ' || f.merged_into
            when dbmail_mesh.has_come(f.source_id, f.source_xid) then 'its messages are taken out first'
            else 'what was done before it was deleted has to come first' end
from dbmail_mesh.mailbox_fate f
left join public.dbmail_mailboxes m on m.mailbox_idnr = f.mailbox_idnr
left join public.dbmail_users u on u.user_idnr = m.owner_idnr
where f.gone_in is null
union all
select 'user to go', a.account, null, a.died_at,
       case when dbmail_mesh.has_come(a.source_id, a.source_xid) then 'his mail is put aside first'
            else 'what was done before he was deleted has to come first' end
from dbmail_mesh.account a
where a.died_at is not null and a.gone_in is null
union all
select 'overtaken', 'mailbox ' || o.mailbox_idnr, count(*), null, 'deliveries that went on without the mailbox''s lock: who was overtaken is looked for'
from dbmail_mesh.overtaking o
group by o.mailbox_idnr
union all
select 'reader from a lost node', coalesce(u.userid, 'user ' || v.user_idnr), null, v.looked_at,
       'not all nodes could be asked; it is looked again, while ' || coalesce(p.node_name, 'node ' || v.node_id) || ' is gone'
from dbmail_mesh.moved_reader v
join dbmail_mesh.link_status s on s.source_id = v.node_id and dbmail_mesh.is_gone(s.state)
left join public.dbmail_users u on u.user_idnr = v.user_idnr
left join dbmail_mesh.peer p on p.node_id = v.node_id
where not v.complete;
comment on view dbmail_mesh.waiting is 'What waits on this node, for how long, and why. Empty when all is well. Reads only what waits.';
comment on column dbmail_mesh.waiting.what is 'late messages, set aside, link failing, link refused, paused, first copy, mailbox to go, user to go, overtaken, reader from a lost node.';
comment on column dbmail_mesh.waiting.where_ is 'Mailbox, user, or link.';
comment on column dbmail_mesh.waiting.rows is 'How many; null where that says nothing.';
comment on column dbmail_mesh.waiting.since is 'Since when; null: not known.';
comment on column dbmail_mesh.waiting.why is 'For what.';

create view dbmail_mesh.number_use as
select s.space, s.highest, s.last, (100.0 * s.highest / s.last)::numeric(6, 2) as used_percent, r.days as over_days, r.per_day,
       case when r.per_day > 0 and (s.last - s.highest) / r.per_day < 2000000
            then (clock_timestamp() + make_interval(days => greatest((s.last - s.highest) / r.per_day, 0)::integer))::date end as ends_on
from (select u.uid, u.physmessage_id, u.mailbox_idnr from dbmail_mesh.numbers_in_use() u) u
cross join lateral (values (1, 'UIDs', u.uid, 4294967294), (2, 'physmessage ids', u.physmessage_id, 2147483647),
                           (3, 'mailbox ids', u.mailbox_idnr, 4294967295)) s(place, space, highest, last)
left join lateral (
  select o.days::numeric(10, 1) as days,
         case when o.days > 0.04
              then greatest(s.highest - case s.place when 1 then o.uid when 2 then o.physmessage_id else o.mailbox_idnr end, 0) / o.days
              end::bigint as per_day
  from (select extract(epoch from clock_timestamp() - n.at)::numeric / 86400 as days, n.uid, n.physmessage_id, n.mailbox_idnr
        from (select x.at, x.uid, x.physmessage_id, x.mailbox_idnr from dbmail_mesh.number_sample x
              where x.at >= clock_timestamp() - interval '31 days' order by x.at limit 1) n) o
) r on true
order by s.place;
comment on view dbmail_mesh.number_use is 'How far the numbers of this node are used up, how fast that went in the last 30 days or since installation, and when they end at that rate. UIDs and mailbox ids belong to the mesh: the node that is furthest counts.';
comment on column dbmail_mesh.number_use.space is 'UIDs, physmessage ids, mailbox ids.';
comment on column dbmail_mesh.number_use.highest is 'The highest that was handed out or seen here.';
comment on column dbmail_mesh.number_use.last is 'The last that can be used.';
comment on column dbmail_mesh.number_use.used_percent is 'The one in percent of the other.';
comment on column dbmail_mesh.number_use.over_days is 'Over how many days the rate was measured.';
comment on column dbmail_mesh.number_use.per_day is 'Numbers used up a day; null: nothing is known for an hour yet.';
comment on column dbmail_mesh.number_use.ends_on is 'The day on which the last is reached; null: not within 5,000 years, or not known.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (23, 'inspect');
