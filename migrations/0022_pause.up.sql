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

alter table dbmail_mesh.outbox drop constraint outbox_kind_is_known,
  add constraint outbox_kind_is_known check (kind in ('u', 'b', 'e', 'm', 'n', 's', 'w'));
comment on column dbmail_mesh.outbox.kind is 'u: account.id, b: dbmail_mailboxes.mailbox_idnr, e: entry.id, m: dbmail_messages.message_idnr, n: the same, of a message that only got a new MODSEQ, s: dbmail_mailboxes.mailbox_idnr whose HIGHESTMODSEQ went up, w: a mark of somebody who waits until all before it is everywhere.';

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (22, 'pause');
