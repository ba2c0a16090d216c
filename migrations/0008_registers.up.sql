-- dbmail-mesh 0008: stamps, accounts, and what else every register needs.
--
-- Each thing that can change on two nodes at once is a register: the later writer wins, on every node. A stamp says when a register
-- was written, and where: microseconds since 2020 in the upper bits, the node's number in the lower twelve. No two writes of a
-- register have the same stamp, and comparing stamps is comparing numbers. A register that was never written has stamp 0.

set local lock_timeout = '250ms';

create function dbmail_mesh.next_stamp(previous bigint) returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  select greatest(floor(extract(epoch from clock_timestamp()) * 1000000)::bigint - 1577836800000000, (previous >> 12) + 1) * 4096
         + n.node_id
  from dbmail_mesh.local_node n
$$;
comment on function dbmail_mesh.next_stamp is 'A stamp for a register that is being written here: later than this node''s clock and than the stamp that it has.';

create function dbmail_mesh.stamped_at(stamp bigint) returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case when stamp > 0 then timestamptz '2020-01-01 00:00:00+00' + (stamp >> 12) * interval '1 microsecond' end
$$;
comment on function dbmail_mesh.stamped_at is 'When a register was written; null: never.';

create function dbmail_mesh.stamped_by(stamp bigint) returns smallint
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select case when stamp > 0 then (stamp & 4095)::smallint end
$$;
comment on function dbmail_mesh.stamped_by is 'The node on which a register was written; null: never written.';

create table dbmail_mesh.account (
  id bigint generated always as identity primary key,
  born_as text not null,
  generation integer not null,
  account text not null generated always as (born_as || '/' || generation) stored,
  user_idnr bigint,
  died_at timestamptz,
  gone_in xid8,
  source_id smallint,
  source_xid xid8,
  constraint account_is_one_in_the_mesh unique (born_as, generation),
  constraint account_user_is_one unique (user_idnr),
  constraint account_generation_from_one check (generation > 0)
);
comment on table dbmail_mesh.account is 'Who is who in the mesh: user_idnr differs between nodes, and a userid can change. Rows outlive their users.';
comment on column dbmail_mesh.account.id is 'This node''s key of it, in outbox.';
comment on column dbmail_mesh.account.born_as is 'The userid under which it was created.';
comment on column dbmail_mesh.account.generation is 'How often that userid has been created: 1, or more when an earlier one was renamed or deleted.';
comment on column dbmail_mesh.account.account is 'What it is known by on all nodes: born_as/generation.';
comment on column dbmail_mesh.account.user_idnr is 'dbmail_users.user_idnr on this node; the user may be gone. Null: it never was here.';
comment on column dbmail_mesh.account.died_at is 'When this node learned that the user was deleted, for ever. Null: alive.';
comment on column dbmail_mesh.account.gone_in is 'The transaction in which he went here. Null while he is here: his mail is being put aside first. Peers are told after that.';
comment on column dbmail_mesh.account.source_id is 'The node that told of the death; null: it happened here.';
comment on column dbmail_mesh.account.source_xid is 'gone_in on that node: he goes here once everything that went before that has come, or the mail that was deleted with him would be kept.';

-- Nobody makes a user until this is done: he would be in no account, and neither he nor his mail known to any peer.
lock table public.dbmail_users in share row exclusive mode;
insert into dbmail_mesh.account (born_as, generation, user_idnr)
select u.userid, 1, u.user_idnr from public.dbmail_users u order by u.user_idnr;

create table dbmail_mesh.mailbox_fate (
  mailbox_idnr bigint primary key,
  merged_into bigint,
  decided_at timestamptz not null default clock_timestamp(),
  gone_in xid8,
  source_id smallint,
  source_xid xid8,
  constraint mailbox_fate_only_upwards check (merged_into > mailbox_idnr)
);
comment on table dbmail_mesh.mailbox_fate is 'Mailboxes that were deleted, or merged into another of the same name, for ever.';
comment on column dbmail_mesh.mailbox_fate.mailbox_idnr is 'The mailbox.';
comment on column dbmail_mesh.mailbox_fate.merged_into is 'The mailbox that has taken its place; null: it was deleted.';
comment on column dbmail_mesh.mailbox_fate.decided_at is 'When this node learned of it.';
comment on column dbmail_mesh.mailbox_fate.gone_in is 'The transaction in which it went here. Null while it is here: its messages are taken out first. Peers are told of a deletion after that.';
comment on column dbmail_mesh.mailbox_fate.source_id is 'The node that told of it; null: it happened here.';
comment on column dbmail_mesh.mailbox_fate.source_xid is 'gone_in on that node: a deleted mailbox goes here once everything that went before that has come, or the messages that were deleted with it would be rescued.';

insert into dbmail_mesh.mailbox_fate (mailbox_idnr, gone_in)
select l.mailbox_idnr, pg_current_xact_id() from dbmail_mesh.line l
where not exists (select from public.dbmail_mailboxes m where m.mailbox_idnr = l.mailbox_idnr);

create function dbmail_mesh.account_of(idnr bigint) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select a.account from dbmail_mesh.account a where a.user_idnr = idnr
$$;
comment on function dbmail_mesh.account_of is 'The account of a user of this node; null when there is none.';

create function dbmail_mesh.user_of(wanted text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select u.user_idnr
  from dbmail_mesh.account a join public.dbmail_users u on u.user_idnr = a.user_idnr
  where a.born_as = regexp_replace(wanted, '/[0-9]+$', '') and a.account = wanted
$$;
comment on function dbmail_mesh.user_of is 'The user_idnr of an account on this node; null when it is not here.';

alter table dbmail_mesh.outbox drop constraint outbox_kind_is_known,
  add constraint outbox_kind_is_known check (kind in ('u', 'b', 'e', 'm'));
comment on column dbmail_mesh.outbox.kind is 'u: account.id, b: dbmail_mailboxes.mailbox_idnr, e: entry.id, m: dbmail_messages.message_idnr.';
alter table dbmail_mesh.cursor drop constraint cursor_copy_stage_is_known,
  add constraint cursor_copy_stage_is_known check (copy_stage in ('u', 'b', 'e', 'm', 't'));
comment on column dbmail_mesh.cursor.copy_stage is 'First copy: what is being copied (u users, b mailboxes, e entries, m messages, t tombstones); null when it is done.';

-- One statement of dbmail's may touch a message several times: flags, then each keyword. One note is enough for all of them, for what
-- is read later is the state. The setting goes back with the savepoint that it was made in, as the note does.
create function dbmail_mesh.note(what "char", which bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  this text := concat_ws(' ', what, which, pg_current_xact_id());
begin
  if current_setting('dbmail_mesh.noted', true) is distinct from this then
    insert into dbmail_mesh.outbox (kind, key) values (what, which);
    perform dbmail_mesh.ring(), set_config('dbmail_mesh.noted', this, true);
  end if;
end
$$;
comment on function dbmail_mesh.note is 'Notes a change for the peers, once.';

-- What was noted before goes by the new key.
delete from dbmail_mesh.outbox o where o.kind = 'u' and dbmail_mesh.account_of(o.key) is null;
update dbmail_mesh.outbox o set key = a.id from dbmail_mesh.account a where o.kind = 'u' and a.user_idnr = o.key;

create or replace function dbmail_mesh.capture_user() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known bigint;
begin
  insert into dbmail_mesh.account (born_as, generation, user_idnr)
  select new.userid, 1 + coalesce(max(a.generation), 0), new.user_idnr from dbmail_mesh.account a where a.born_as = new.userid
  returning id into known;
  perform dbmail_mesh.note('u', known);
  return null;
end
$$;

revoke execute on all functions in schema dbmail_mesh from public;

insert into dbmail_mesh.migration (version, name) values (8, 'registers');
