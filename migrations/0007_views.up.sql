-- dbmail-mesh 0007: what a person looks at.

create view dbmail_mesh.renumbers as
select r.applied_at, u.userid as owner, m.name as mailbox, r.mailbox_idnr, r.old_uid, r.new_uid, r.birth_uid, r.was_visible,
       r.decided_by, coalesce(p.node_name, n.node_name) as decided_on, r.decided_at
from dbmail_mesh.renumber_log r
cross join dbmail_mesh.local_node n
left join dbmail_mesh.peer p on p.node_id = r.decided_by and p.node_id <> n.node_id
left join dbmail_mesh.line l on l.mailbox_idnr = r.mailbox_idnr
left join public.dbmail_mailboxes m on m.mailbox_idnr = r.mailbox_idnr
left join public.dbmail_users u on u.user_idnr = coalesce(m.owner_idnr, l.owner_idnr);
comment on view dbmail_mesh.renumbers is 'What was renumbered from what to what, when and where it was decided, and when it was applied on this node.';
comment on column dbmail_mesh.renumbers.applied_at is 'When this node applied it.';
comment on column dbmail_mesh.renumbers.owner is 'userid of the mailbox''s owner; null when he is gone.';
comment on column dbmail_mesh.renumbers.mailbox is 'Name of the mailbox; null when it is gone.';
comment on column dbmail_mesh.renumbers.mailbox_idnr is 'Its id, and UIDVALIDITY.';
comment on column dbmail_mesh.renumbers.old_uid is 'The UID that died.';
comment on column dbmail_mesh.renumbers.new_uid is 'The UID that the message got instead.';
comment on column dbmail_mesh.renumbers.birth_uid is 'The first UID that the message ever had.';
comment on column dbmail_mesh.renumbers.was_visible is 'Whether clients of this node could have seen the old UID.';
comment on column dbmail_mesh.renumbers.decided_by is 'Number of the node that gave out the new UID.';
comment on column dbmail_mesh.renumbers.decided_on is 'Name of that node.';
comment on column dbmail_mesh.renumbers.decided_at is 'When, by that node''s clock.';

create view dbmail_mesh.late_messages as
select l.first_seen, clock_timestamp() - l.first_seen as waiting, u.userid as owner, m.name as mailbox, l.mailbox_idnr, l.uid,
       l.birth_uid, l.row_idnr < 281474976710656 as is_visible, i.high
from dbmail_mesh.late l
left join dbmail_mesh.line i on i.mailbox_idnr = l.mailbox_idnr
left join public.dbmail_mailboxes m on m.mailbox_idnr = l.mailbox_idnr
left join public.dbmail_users u on u.user_idnr = coalesce(m.owner_idnr, i.owner_idnr);
comment on view dbmail_mesh.late_messages is 'Messages that wait here for a new UID.';
comment on column dbmail_mesh.late_messages.first_seen is 'When this node first saw the message.';
comment on column dbmail_mesh.late_messages.waiting is 'For how long it has been waiting.';
comment on column dbmail_mesh.late_messages.owner is 'userid of the mailbox''s owner.';
comment on column dbmail_mesh.late_messages.mailbox is 'Name of the mailbox; null when it is gone.';
comment on column dbmail_mesh.late_messages.mailbox_idnr is 'Its id, and UIDVALIDITY.';
comment on column dbmail_mesh.late_messages.uid is 'The UID that cannot be shown here.';
comment on column dbmail_mesh.late_messages.birth_uid is 'The first UID that the message ever had.';
comment on column dbmail_mesh.late_messages.is_visible is 'Whether it is visible under its old UID meanwhile; false: hidden.';
comment on column dbmail_mesh.late_messages.high is 'The mailbox''s high line: the new UID will be above it.';

create function dbmail_mesh.resolve(wanted bigint)
returns table (uid bigint, state text, current_uid bigint, birth_uid bigint, mailbox_idnr bigint, owner text, mailbox text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select wanted,
         case when v.birth_uid is null then 'unknown'
              when v.state = 'd' then 'expunged'
              when v.state = 'h' then 'late'
              when v.row_idnr = wanted then 'current'
              else 'renumbered' end,
         case when v.state in ('v', 'w') then v.row_idnr end,
         case when v.birth_uid is not null then v.birth_uid end,
         v.mailbox_idnr, u.userid::text, m.name::text
  from (select dbmail_mesh.birth_of(wanted) as birth_uid) b
  left join lateral (
    select v.* from dbmail_mesh.view_messages(array[b.birth_uid]) v
    left join public.dbmail_messages g on g.message_idnr = v.row_idnr
    left join public.dbmail_mailboxes s on s.mailbox_idnr = g.mailbox_idnr
    left join public.dbmail_users su on su.user_idnr = s.owner_idnr
    where wanted < 281474976710656 and (v.state in ('d', 'h') or su.userid is distinct from '__@!internal_delivery_user!@__')
  ) v on true
  left join dbmail_mesh.line l on l.mailbox_idnr = v.mailbox_idnr
  left join public.dbmail_mailboxes m on m.mailbox_idnr = v.mailbox_idnr
  left join public.dbmail_users u on u.user_idnr = coalesce(m.owner_idnr, l.owner_idnr)
$$;
comment on function dbmail_mesh.resolve is 'What became of a UID: current; renumbered (current_uid is what the message has now); late (arrived, waits for its new UID); expunged; unknown. One row.';

create view dbmail_mesh.link_progress as
select c.source_id, p.node_name as source, s.state, s.since, c.copy_stage, c.copy_position, c.batches, c.messages, c.moved_at,
       s.last_error, s.last_error_at,
       (select count(*) from dbmail_mesh.set_aside a where a.source_id = c.source_id) as set_aside
from dbmail_mesh.cursor c
left join dbmail_mesh.peer p on p.node_id = c.source_id
left join dbmail_mesh.link_status s on s.source_id = c.source_id;
comment on view dbmail_mesh.link_progress is 'The links into this node, as far as this node knows; "dbmail-mesh status" adds what the sources know.';
comment on column dbmail_mesh.link_progress.source_id is 'Number of the source.';
comment on column dbmail_mesh.link_progress.source is 'Name of the source.';
comment on column dbmail_mesh.link_progress.state is 'What the worker last said: current, working, failing, refused.';
comment on column dbmail_mesh.link_progress.since is 'Since when.';
comment on column dbmail_mesh.link_progress.copy_stage is 'What the first copy is at; null when it is done.';
comment on column dbmail_mesh.link_progress.copy_position is 'Last key of the first copy that is applied.';
comment on column dbmail_mesh.link_progress.batches is 'Batches applied so far.';
comment on column dbmail_mesh.link_progress.messages is 'Message states joined so far.';
comment on column dbmail_mesh.link_progress.moved_at is 'When the link last took something over.';
comment on column dbmail_mesh.link_progress.last_error is 'Its last error.';
comment on column dbmail_mesh.link_progress.last_error_at is 'When.';
comment on column dbmail_mesh.link_progress.set_aside is 'Rows that could not be joined yet.';

-- The functions write as their owner. dbmail's role needs none of them: triggers run whoever fires them.
revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (7, 'views');
