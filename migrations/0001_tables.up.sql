-- dbmail-mesh 0001: the schema and its tables. Nothing of dbmail's is touched here.
--
-- Parameters are read from settings, so that the command and psql run the same file:
--   PGOPTIONS='-c dbmail_mesh.node_id=1 -c dbmail_mesh.node_name=ams -c dbmail_mesh.stride=8
--              -c dbmail_mesh.uid_floor=0 -c dbmail_mesh.mailbox_floor=0'
--   psql -1 -v ON_ERROR_STOP=1 -f 0001_tables.up.sql      and so on: each file in a transaction of its own, for 0002 locks out deliveries
-- uid_floor and mailbox_floor: the highest message_idnr and mailbox_idnr in use on ANY node of the mesh.

do $$
declare
  setting text;
begin
  foreach setting in array array['node_id', 'node_name', 'stride', 'uid_floor', 'mailbox_floor'] loop
    if coalesce(current_setting('dbmail_mesh.' || setting, true), '') = '' then
      raise exception 'setting dbmail_mesh.% is missing', setting
        using hint = 'Run "dbmail-mesh migrate up", or give it to psql: PGOPTIONS="-c dbmail_mesh.' || setting || '=…".';
    end if;
  end loop;
end
$$;

create schema dbmail_mesh;
comment on schema dbmail_mesh is 'dbmail-mesh: active-active replication of this dbmail database. Removed by "dbmail-mesh migrate down".';

create table dbmail_mesh.migration (
  version integer primary key,
  name text not null,
  checksum text,
  applied_at timestamptz not null default clock_timestamp()
);
comment on table dbmail_mesh.migration is 'The migrations that were run here.';
comment on column dbmail_mesh.migration.version is 'Number of the file.';
comment on column dbmail_mesh.migration.name is 'Name of the file, without number and ending.';
comment on column dbmail_mesh.migration.checksum is 'SHA-256 of the .up.sql file; null when psql ran it.';
comment on column dbmail_mesh.migration.applied_at is 'When it was run.';

create table dbmail_mesh.local_node (
  only_row boolean primary key default true,
  node_id smallint not null,
  node_name text not null,
  stride smallint not null,
  incarnation uuid not null default gen_random_uuid(),
  system_identifier bigint not null,
  mesh_id uuid,
  adopted_uid bigint not null default 0,
  uid_floor bigint not null,
  installed_at timestamptz not null default clock_timestamp(),
  constraint local_node_is_one_row check (only_row),
  constraint local_node_id_within_stride check (node_id between 1 and stride)
);
comment on table dbmail_mesh.local_node is 'Who this node is. One row.';
comment on column dbmail_mesh.local_node.only_row is 'Always true: keeps the table at one row.';
comment on column dbmail_mesh.local_node.node_id is 'Number of this node in the mesh; its UIDs are congruent to it modulo stride.';
comment on column dbmail_mesh.local_node.node_name is 'Name of this node in the settings file.';
comment on column dbmail_mesh.local_node.stride is 'The most nodes that the mesh may ever have; cannot change.';
comment on column dbmail_mesh.local_node.incarnation is 'Drawn at install. Peers know this database by it.';
comment on column dbmail_mesh.local_node.system_identifier is 'pg_control_system() of the cluster at install. Another one means that the database was restored or moved elsewhere.';
comment on column dbmail_mesh.local_node.mesh_id is 'The mesh that this node was admitted to; null before that.';
comment on column dbmail_mesh.local_node.adopted_uid is 'Highest UID of the mail that was here at install; 0 when there was none.';
comment on column dbmail_mesh.local_node.uid_floor is 'Every UID that this node handed out since install is above this.';
comment on column dbmail_mesh.local_node.installed_at is 'When the schema was installed.';

insert into dbmail_mesh.local_node (node_id, node_name, stride, system_identifier, uid_floor)
select current_setting('dbmail_mesh.node_id')::smallint, current_setting('dbmail_mesh.node_name'),
       current_setting('dbmail_mesh.stride')::smallint, system_identifier, current_setting('dbmail_mesh.uid_floor')::bigint
from pg_control_system();

create table dbmail_mesh.peer (
  node_id smallint primary key,
  node_name text not null,
  incarnation uuid not null,
  admitted_at timestamptz not null default clock_timestamp()
);
comment on table dbmail_mesh.peer is 'The other nodes that this node has accepted as members of its mesh.';
comment on column dbmail_mesh.peer.node_id is 'Number of the peer.';
comment on column dbmail_mesh.peer.node_name is 'Name of the peer.';
comment on column dbmail_mesh.peer.incarnation is 'The peer''s incarnation when it was admitted. Another one under the same number is refused.';
comment on column dbmail_mesh.peer.admitted_at is 'When it was admitted.';

create table dbmail_mesh.line (
  mailbox_idnr bigint primary key,
  owner_idnr bigint,
  high bigint not null default 0,
  constraint line_high_not_negative check (high >= 0)
) with (fillfactor = 50);
comment on table dbmail_mesh.line is 'Per mailbox the high line. The row is the lock under which numbers are given out; it outlives its mailbox.';
comment on column dbmail_mesh.line.mailbox_idnr is 'dbmail_mailboxes.mailbox_idnr; the mailbox may be gone.';
comment on column dbmail_mesh.line.owner_idnr is 'The mailbox''s owner when it was last seen: who gets mail that arrives for a mailbox that is gone.';
comment on column dbmail_mesh.line.high is 'Highest UID ever visible in the mailbox on this node. Never falls.';

create table dbmail_mesh.overtaking (
  uid bigint primary key,
  mailbox_idnr bigint not null,
  seen pg_snapshot not null default pg_current_snapshot()
);
comment on table dbmail_mesh.overtaking is 'Deliveries that could not wait for their mailbox''s line row and took a plain number. Short-lived: the worker looks who was overtaken and has those renumbered.';
comment on column dbmail_mesh.overtaking.uid is 'The number that was taken without the lock.';
comment on column dbmail_mesh.overtaking.mailbox_idnr is 'The mailbox.';
comment on column dbmail_mesh.overtaking.seen is 'Which transactions had ended when it was taken.';
create index overtaking_by_mailbox on dbmail_mesh.overtaking (mailbox_idnr, uid);

create table dbmail_mesh.number (
  uid bigint primary key,
  birth_uid bigint not null,
  decided_by smallint not null,
  decided_at timestamptz not null,
  constraint number_rises check (uid > birth_uid)
);
comment on table dbmail_mesh.number is 'Every number that a message was given after its birth. The highest is its UID; the others, and the birth UID, are dead.';
comment on column dbmail_mesh.number.uid is 'The number.';
comment on column dbmail_mesh.number.birth_uid is 'The message: its first UID.';
comment on column dbmail_mesh.number.decided_by is 'Node that gave out the number.';
comment on column dbmail_mesh.number.decided_at is 'When, by that node''s clock.';
-- With the number: the highest one of a message is looked for all the time, and by birth alone that is planned, as long as nothing has
-- analyzed the table, as a walk through all numbers from the top, for each message.
create index number_by_birth on dbmail_mesh.number (birth_uid, uid);

create table dbmail_mesh.tombstone (
  birth_uid bigint primary key,
  uid bigint not null,
  mailbox_idnr bigint,
  died_at timestamptz not null default clock_timestamp()
);
comment on table dbmail_mesh.tombstone is 'Messages that are dead for ever: expunged here, or on a peer.';
comment on column dbmail_mesh.tombstone.birth_uid is 'The message: its first UID.';
comment on column dbmail_mesh.tombstone.uid is 'The UID that it had when it died.';
comment on column dbmail_mesh.tombstone.mailbox_idnr is 'The mailbox in which it died.';
comment on column dbmail_mesh.tombstone.died_at is 'When this node learned of it.';

create table dbmail_mesh.late (
  birth_uid bigint primary key,
  mailbox_idnr bigint not null,
  uid bigint not null,
  row_idnr bigint not null unique,
  status smallint,
  first_seen timestamptz not null default clock_timestamp()
);
comment on table dbmail_mesh.late is 'Messages whose UID this node cannot show: it is at or below one that clients may have been shown. They wait for a new one.';
comment on column dbmail_mesh.late.birth_uid is 'The message: its first UID.';
comment on column dbmail_mesh.late.mailbox_idnr is 'The mailbox that it belongs into.';
comment on column dbmail_mesh.late.uid is 'The UID that cannot be shown.';
comment on column dbmail_mesh.late.row_idnr is 'dbmail_messages.message_idnr of its row: above 2^48 while it is hidden in the staging mailbox, else the old UID under which it is still visible.';
comment on column dbmail_mesh.late.status is 'The status that the hidden row will have; while it is hidden it has 5, which dbmail-util never touches. Null for a visible one.';
comment on column dbmail_mesh.late.first_seen is 'When this node first saw it; it is not renumbered before settle_after has passed since.';
create index late_by_mailbox on dbmail_mesh.late (mailbox_idnr);

create table dbmail_mesh.reservation (
  uid bigint primary key,
  mailbox_idnr bigint not null,
  birth_uid bigint not null,
  reserved_at timestamptz not null default clock_timestamp()
);
comment on table dbmail_mesh.reservation is 'Numbers that this node set aside for late messages. Committed before anyone writes them, so that a settlement that breaks off cannot give a number to two messages.';
comment on column dbmail_mesh.reservation.uid is 'The number.';
comment on column dbmail_mesh.reservation.mailbox_idnr is 'The mailbox.';
comment on column dbmail_mesh.reservation.birth_uid is 'The message that it was meant for.';
comment on column dbmail_mesh.reservation.reserved_at is 'When.';

create table dbmail_mesh.renumber_log (
  id bigint generated always as identity primary key,
  birth_uid bigint not null,
  old_uid bigint not null,
  new_uid bigint not null,
  mailbox_idnr bigint not null,
  was_visible boolean not null,
  decided_by smallint not null,
  decided_at timestamptz not null,
  applied_at timestamptz not null default clock_timestamp(),
  constraint renumber_log_rises check (new_uid > old_uid)
);
comment on table dbmail_mesh.renumber_log is 'What was renumbered on this node. View renumbers shows it with names.';
comment on column dbmail_mesh.renumber_log.id is 'Order on this node.';
comment on column dbmail_mesh.renumber_log.birth_uid is 'The message: its first UID.';
comment on column dbmail_mesh.renumber_log.old_uid is 'The UID that died.';
comment on column dbmail_mesh.renumber_log.new_uid is 'The UID that the message has instead.';
comment on column dbmail_mesh.renumber_log.mailbox_idnr is 'The mailbox.';
comment on column dbmail_mesh.renumber_log.was_visible is 'Whether clients of this node could have seen the old UID.';
comment on column dbmail_mesh.renumber_log.decided_by is 'Node that gave out the new UID.';
comment on column dbmail_mesh.renumber_log.decided_at is 'When, by that node''s clock.';
comment on column dbmail_mesh.renumber_log.applied_at is 'When it was applied here.';
create index renumber_log_by_birth on dbmail_mesh.renumber_log (birth_uid);
create index renumber_log_by_mailbox on dbmail_mesh.renumber_log (mailbox_idnr, applied_at);

create table dbmail_mesh.content (
  origin_node smallint not null,
  origin_id bigint not null,
  physmessage_id bigint not null,
  constraint content_pkey primary key (origin_node, origin_id)
);
comment on table dbmail_mesh.content is 'Which local physmessage holds a content that came from another node. No foreign key: a purge by dbmail-util must not touch this table.';
comment on column dbmail_mesh.content.origin_node is 'Node on which the content was delivered.';
comment on column dbmail_mesh.content.origin_id is 'dbmail_physmessage.id on that node.';
comment on column dbmail_mesh.content.physmessage_id is 'dbmail_physmessage.id here; may have been purged.';
create index content_by_physmessage on dbmail_mesh.content (physmessage_id);

create table dbmail_mesh.outbox (
  id bigint generated always as identity (cache 1) primary key,
  txid xid8 not null default pg_current_xact_id(),
  kind "char" not null,
  key bigint not null,
  origin smallint,
  at timestamptz not null default clock_timestamp(),
  constraint outbox_kind_is_known check (kind in ('u', 'b', 'm'))
);
comment on table dbmail_mesh.outbox is 'What changed here since the peers last looked: keys, no payload. Purged once every peer has it.';
comment on column dbmail_mesh.outbox.id is 'Within a mailbox, new messages have it in the order of their UIDs; it is no commit order.';
comment on column dbmail_mesh.outbox.txid is 'The transaction that wrote it; readers find what is new by snapshot difference.';
comment on column dbmail_mesh.outbox.kind is 'u: dbmail_users.user_idnr, b: dbmail_mailboxes.mailbox_idnr, m: dbmail_messages.message_idnr.';
comment on column dbmail_mesh.outbox.key is 'The key of the row that changed.';
comment on column dbmail_mesh.outbox.origin is 'Null: it happened here. Else the node that it came from: its peers get it from there.';
comment on column dbmail_mesh.outbox.at is 'When it was written (not when it was committed).';
create index outbox_by_txid on dbmail_mesh.outbox (txid);

create table dbmail_mesh.cursor (
  source_id smallint primary key,
  from_snapshot pg_snapshot not null,
  to_snapshot pg_snapshot,
  last_id bigint not null default 0,
  copy_stage "char",
  copy_position bigint not null default 0,
  batches bigint not null default 0,
  messages bigint not null default 0,
  moved_at timestamptz not null default clock_timestamp(),
  constraint cursor_copy_stage_is_known check (copy_stage in ('u', 'b', 'm', 't'))
) with (fillfactor = 50);
comment on table dbmail_mesh.cursor is 'How far this node has taken over what each source has. Written in the transaction that applies.';
comment on column dbmail_mesh.cursor.source_id is 'The source node.';
comment on column dbmail_mesh.cursor.from_snapshot is 'All changes of the source that this snapshot sees are applied here.';
comment on column dbmail_mesh.cursor.to_snapshot is 'The snapshot being worked through, when it did not fit one batch.';
comment on column dbmail_mesh.cursor.last_id is 'Within that snapshot: the id of the last outbox row that is applied.';
comment on column dbmail_mesh.cursor.copy_stage is 'First copy: what is being copied (u users, b mailboxes, m messages, t tombstones); null when it is done.';
comment on column dbmail_mesh.cursor.copy_position is 'First copy: the last key that is applied.';
comment on column dbmail_mesh.cursor.batches is 'Batches applied so far.';
comment on column dbmail_mesh.cursor.messages is 'Message states joined so far.';
comment on column dbmail_mesh.cursor.moved_at is 'When the cursor last moved.';

create table dbmail_mesh.link_status (
  source_id smallint primary key,
  state text not null,
  since timestamptz not null default clock_timestamp(),
  last_error text,
  last_error_at timestamptz
) with (fillfactor = 50);
comment on table dbmail_mesh.link_status is 'What the worker says of each link into this node.';
comment on column dbmail_mesh.link_status.source_id is 'The source node.';
comment on column dbmail_mesh.link_status.state is 'current, working, failing or refused.';
comment on column dbmail_mesh.link_status.since is 'Since when.';
comment on column dbmail_mesh.link_status.last_error is 'The last error, null when there was none since the link was last current.';
comment on column dbmail_mesh.link_status.last_error_at is 'When it happened.';

create table dbmail_mesh.acknowledged (
  target_id smallint primary key,
  snapshot pg_snapshot not null,
  at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table dbmail_mesh.acknowledged is 'What each peer holds durably of this node''s changes. The outbox is purged below it.';
comment on column dbmail_mesh.acknowledged.target_id is 'The peer.';
comment on column dbmail_mesh.acknowledged.snapshot is 'The peer holds all changes that this snapshot sees.';
comment on column dbmail_mesh.acknowledged.at is 'When it said so.';

create table dbmail_mesh.set_aside (
  source_id smallint not null,
  kind "char" not null,
  key bigint not null,
  reason text not null,
  first_seen timestamptz not null default clock_timestamp(),
  last_tried timestamptz not null default clock_timestamp(),
  constraint set_aside_pkey primary key (source_id, kind, key)
);
comment on table dbmail_mesh.set_aside is 'Rows of a source that could not be joined here yet. They are tried again; the link goes on without them.';
comment on column dbmail_mesh.set_aside.source_id is 'The source node.';
comment on column dbmail_mesh.set_aside.kind is 'As in outbox.';
comment on column dbmail_mesh.set_aside.key is 'As in outbox, on the source; a message by its birth UID.';
comment on column dbmail_mesh.set_aside.reason is 'Why.';
comment on column dbmail_mesh.set_aside.first_seen is 'When it was first tried.';
comment on column dbmail_mesh.set_aside.last_tried is 'When it was last tried.';

create table dbmail_mesh.incoming_slice (
  part_no bigint not null,
  slice_no integer not null,
  data bytea not null
);
comment on table dbmail_mesh.incoming_slice is 'A large MIME part on its way in, slice by slice. Filled and emptied in one transaction: always seen empty.';
comment on column dbmail_mesh.incoming_slice.part_no is 'The part within the transaction.';
comment on column dbmail_mesh.incoming_slice.slice_no is 'Order of the slices.';
comment on column dbmail_mesh.incoming_slice.data is 'The bytes.';

create sequence dbmail_mesh.staging_idnr_seq minvalue 281474976710656;
comment on sequence dbmail_mesh.staging_idnr_seq is 'Row numbers for the staging mailbox: from 2^48 on, so that staging burns no UID.';

insert into dbmail_mesh.migration (version, name) values (1, 'tables');
