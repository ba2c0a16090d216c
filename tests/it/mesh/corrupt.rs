//! A peer whose tables are damaged, or written by somebody who means harm: what it tells is refused with its key, and all else goes on.

use std::time::{Duration, Instant};

use dbmail_mesh::scratch::audit::state_digest;
use dbmail_mesh::scratch::standin::Mail;

use super::{DEADLINE, Mesh};

/// One corruption: what is done to node 1, what node 2 says of it, and what takes it back.
struct Corruption {
    name: &'static str,
    /// `{victim}` is a UID in alice's INBOX, `{folder}` the id of a mailbox of hers.
    harm: &'static str,
    says: Says,
    undo: &'static str,
}

enum Says {
    /// Set aside: its kind, and a part of the reason.
    Aside(&'static str, &'static str),
    /// The link stops: a part of its error.
    Stops(&'static str),
}
use Says::{Aside, Stops};

const NOTE: &str = "insert into dbmail_mesh.outbox (kind, key) values ('m', {victim})";
const FORGET: &str = "delete from dbmail_mesh.message_register; delete from dbmail_mesh.keyword_register";

const CORRUPTIONS: &[Corruption] = &[
    Corruption {
        name: "a stamp that is negative",
        harm: "insert into dbmail_mesh.message_register (birth_uid, seen) values ({victim}, -5)",
        says: Aside("message", "corrupt: the stamp of seen is negative"),
        undo: FORGET,
    },
    Corruption {
        name: "a stamp of the year 2091, which would win every conflict",
        harm: "insert into dbmail_mesh.message_register (birth_uid, flagged) values ({victim}, 9223372036854775807 - 4095 + 1)",
        says: Aside("message", "days ahead of this node's clock"),
        undo: FORGET,
    },
    Corruption {
        name: "a stamp of a node that cannot be",
        harm: "insert into dbmail_mesh.message_register (birth_uid, place) values ({victim}, dbmail_mesh.next_stamp(0) + 3000)",
        says: Aside("message", "corrupt: its mailbox names node 3001, of 2 at the most"),
        undo: FORGET,
    },
    Corruption {
        name: "a keyword of the far future",
        harm: "insert into dbmail_mesh.keyword_register (birth_uid, keyword, stamp, present) values ({victim}, 'x', 9223372036854771713, true)",
        says: Aside("message", "the stamp of a keyword"),
        undo: FORGET,
    },
    Corruption {
        name: "a MODSEQ from which dbmail could not go on counting",
        harm: "insert into dbmail_mesh.message_register (birth_uid, seq) values ({victim}, 9223372036854775807)",
        says: Aside("message", "corrupt: its MODSEQ 9223372036854775807 is not between 0 and"),
        undo: FORGET,
    },
    Corruption {
        name: "a UID that takes all numbers away",
        harm: "alter table dbmail_mesh.number drop constraint if exists number_only_upwards;
               insert into dbmail_mesh.number (uid, birth_uid, decided_by, decided_at) values (140000000000000, {victim}, 1, now())",
        says: Aside("message", "is not between 1 and 1099511627776"),
        undo: "delete from dbmail_mesh.number where uid = 140000000000000",
    },
    Corruption {
        name: "a number that nobody gave",
        harm: "insert into dbmail_mesh.number (uid, birth_uid, decided_by, decided_at) values ({victim} + 1000, {victim}, 77, now())",
        says: Aside("message", "names node 77"),
        undo: "delete from dbmail_mesh.number where decided_by = 77",
    },
    Corruption {
        name: "content of a node that cannot be",
        harm: "update dbmail_mesh.content set origin_node = 99;
               insert into dbmail_mesh.content (physmessage_id, origin_node, origin_id)
               select physmessage_id, 99, 5 from dbmail_messages where message_idnr = {victim} on conflict do nothing",
        says: Aside("message", "its content names node"),
        undo: "delete from dbmail_mesh.content where origin_node = 99",
    },
    Corruption {
        name: "a name with a line end",
        harm: "update dbmail_messages set unique_id = e'a\\r\\nb' where message_idnr = {victim}",
        says: Aside("message", "corrupt: its unique_id holds a line end or a NUL"),
        undo: "update dbmail_messages set unique_id = 'victim' where message_idnr = {victim}",
    },
    Corruption {
        name: "content of less than no size",
        harm: "with p as (insert into dbmail_physmessage (messagesize, rfcsize, internal_date) values (-5, 5, now()) returning id)
               insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, status)
               select mailbox_idnr, p.id, 'small', 0 from p, dbmail_messages where message_idnr = {victim}",
        says: Aside("message", "corrupt: messagesize of its content is negative"),
        undo: "delete from dbmail_messages where unique_id = 'small'",
    },
    Corruption {
        name: "a part without data, its column not what it was",
        harm: "alter table dbmail_partlists alter part_key drop not null;
               with p as (insert into dbmail_physmessage (messagesize, rfcsize, internal_date) values (5, 5, now()) returning id),
                    m as (insert into dbmail_mimeparts (hash, data, size) values ('x', 'y', 1) returning id),
                    l as (insert into dbmail_partlists (physmessage_id, part_id, part_key) select p.id, m.id, null from p, m)
               insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, status)
               select mailbox_idnr, p.id, 'apart', 0 from p, dbmail_messages where message_idnr = {victim}",
        says: Aside("message", "corrupt: column part_key"),
        undo: "delete from dbmail_messages where unique_id = 'apart'; delete from dbmail_partlists where part_key is null",
    },
    Corruption {
        name: "a mailbox without a name",
        harm: "alter table dbmail_mailboxes alter name drop not null; update dbmail_mailboxes set name = null where mailbox_idnr = {folder};
               insert into dbmail_mesh.outbox (kind, key) values ('b', {folder})",
        says: Aside("mailbox", "corrupt: column name: a Postgres value was `NULL`"),
        undo: "update dbmail_mailboxes set name = 'Folder' where mailbox_idnr = {folder}",
    },
    Corruption {
        name: "a name that breaks a protocol",
        harm: "update dbmail_mailboxes set name = e'x\\r\\n* BYE' where mailbox_idnr = {folder}",
        says: Aside("mailbox", "corrupt: its name holds a line end or a NUL"),
        undo: "update dbmail_mailboxes set name = 'Folder' where mailbox_idnr = {folder}",
    },
    Corruption {
        name: "mailboxes that were merged in a circle",
        harm: "alter table dbmail_mesh.mailbox_fate drop constraint mailbox_fate_only_upwards;
               insert into dbmail_mesh.mailbox_fate (mailbox_idnr, merged_into) values ({folder}, 1);
               insert into dbmail_mesh.outbox (kind, key) values ('b', {folder})",
        says: Aside("mailbox", "which is not above it"),
        undo: "delete from dbmail_mesh.mailbox_fate where mailbox_idnr = {folder}",
    },
    Corruption {
        name: "a HIGHESTMODSEQ from which dbmail could not go on counting",
        harm: "update dbmail_mailboxes set seq = 9223372036854775800 where mailbox_idnr = {folder};
               insert into dbmail_mesh.outbox (kind, key) values ('s', {folder})",
        says: Aside("modseq", "corrupt: its HIGHESTMODSEQ 9223372036854775800"),
        undo: "update dbmail_mailboxes set seq = 5 where mailbox_idnr = {folder}",
    },
    Corruption {
        name: "a user of the far future",
        harm: "update dbmail_mesh.account set maxmail_stamp = 9223372036854771713 where born_as = 'alice';
               insert into dbmail_mesh.outbox (kind, key) select 'u', id from dbmail_mesh.account where born_as = 'alice'",
        says: Aside("user", "corrupt: the stamp of maxmail_size"),
        undo: "update dbmail_mesh.account set maxmail_stamp = 0 where born_as = 'alice'",
    },
    Corruption {
        name: "a user of no generation",
        harm: "alter table dbmail_mesh.account drop constraint account_generation_from_one;
               insert into dbmail_mesh.account (born_as, generation, died_at, gone_in) values ('nobody', -4, now(), '5');
               insert into dbmail_mesh.outbox (kind, key) select 'u', id from dbmail_mesh.account where born_as = 'nobody'",
        says: Aside("user", "corrupt: it is called nothing"),
        undo: "delete from dbmail_mesh.account where born_as = 'nobody'",
    },
    Corruption {
        name: "a userid that breaks a protocol",
        harm: "update dbmail_users set userid = e'alice\\r\\nx' where userid = 'alice'",
        says: Aside("user", "corrupt: userid holds a line end or a NUL"),
        undo: "update dbmail_users set userid = 'alice' where userid like 'alice%'",
    },
    Corruption {
        name: "an entry whose key is none",
        harm: "update dbmail_mesh.entry set key = '[]' where kind = 'alias';
               insert into dbmail_mesh.outbox (kind, key) select 'e', id from dbmail_mesh.entry where kind = 'alias'",
        says: Aside("entry", "corrupt: its key is no JSON object"),
        undo: "update dbmail_mesh.entry set key = '{\"alias\": \"a@x\", \"client\": 0, \"to\": \"b@y\"}' where kind = 'alias'",
    },
    Corruption {
        name: "an entry of no known kind",
        harm: "alter table dbmail_mesh.entry drop constraint entry_kind_is_known;
               update dbmail_mesh.entry set kind = 'evil' where kind = 'alias';
               insert into dbmail_mesh.outbox (kind, key) select 'e', id from dbmail_mesh.entry where kind = 'evil'",
        says: Aside("entry", "corrupt: it is of no kind that this version knows"),
        undo: "update dbmail_mesh.entry set kind = 'alias' where kind = 'evil'",
    },
    Corruption {
        name: "a change of nothing",
        harm: "alter table dbmail_mesh.outbox alter key drop not null;
               insert into dbmail_mesh.outbox (kind, key) values ('m', null)",
        says: Stops("the source tells what cannot be true: its outbox: corrupt: column key: a Postgres value was `NULL`"),
        undo: "delete from dbmail_mesh.outbox where key is null; alter table dbmail_mesh.outbox alter key set not null",
    },
    Corruption {
        name: "a column of another type in the outbox",
        harm: "alter table dbmail_mesh.outbox alter key type text using key::text; insert into dbmail_mesh.outbox (kind, key) values ('m', 'x')",
        says: Stops("corrupt: column key"),
        undo: "delete from dbmail_mesh.outbox where key = 'x'; alter table dbmail_mesh.outbox alter key type bigint using key::bigint",
    },
    Corruption {
        name: "a column of another type in a register",
        harm: "alter table dbmail_mesh.message_register alter seen drop default, alter seen type text using seen::text",
        says: Stops("SQLSTATE 42"),
        undo: "alter table dbmail_mesh.message_register alter seen type bigint using seen::bigint, alter seen set default 0",
    },
    Corruption {
        name: "a table that is gone",
        harm: "alter table dbmail_mesh.keyword_register rename to gone",
        says: Stops("SQLSTATE 42P01"),
        undo: "alter table dbmail_mesh.gone rename to keyword_register",
    },
];

#[tokio::test]
async fn what_a_damaged_peer_tells_is_refused_with_its_key() {
    let (mesh, inbox) = Mesh::with_inbox("corrupt", 2, 2).await;
    let mut session = mesh.dbmail(1).await;
    let victim = session.deliver(inbox, &Mail::named("victim")).await.unwrap();
    let folder = session.create_mailbox("alice", "Folder").await.unwrap();
    mesh.run(1, "insert into dbmail_aliases (alias, deliver_to) values ('a@x', 'b@y')").await;
    let worker = mesh.work();
    mesh.await_equal(inbox, 1).await;
    mesh.await_count(2, &format!("select count(*) from dbmail_mailboxes where mailbox_idnr = {folder}"), 1).await;
    mesh.await_count(2, "select count(*) from dbmail_aliases", 1).await;
    let fill = |sql: &str| sql.replace("{victim}", &victim.to_string()).replace("{folder}", &folder.to_string());
    for Corruption { name, harm, says, undo } in CORRUPTIONS {
        // What node 1 says of itself may go on; what node 2 has may not change.
        let before = state_digest(&mesh.node(2).connection).await.unwrap();
        mesh.run(
            1,
            &format!(
                "{}; {}",
                fill(harm),
                if matches!(says, Aside("message", _)) { fill(NOTE) } else { "select 1".into() }
            ),
        )
        .await;
        match says {
            Aside(kind, why) => {
                let aside = mesh
                    .await_text(2, "select concat_ws(' ', kind, reason) from dbmail_mesh.aside limit 1", why, name)
                    .await;
                assert!(aside.starts_with(kind), "{name}: {aside}");
                assert_eq!(
                    mesh.count(2, "select count(*) from dbmail_mesh.set_aside").await,
                    1,
                    "{name}: nothing else"
                );
            }
            Stops(why) => {
                // What makes a link look.
                mesh.run(2, "select 1").await;
                drop(mesh.psql(1).await.batch_execute(&fill(NOTE)).await);
                let state = "select coalesce(max(concat_ws(' ', state, last_error)), '') from dbmail_mesh.link_status where source_id = 1";
                let state = mesh.await_text(2, state, why, name).await;
                assert!(state.starts_with("refused"), "{name}: {state}");
                assert_eq!(mesh.count(2, "select count(*) from dbmail_mesh.set_aside").await, 0, "{name}");
            }
        }
        assert_eq!(state_digest(&mesh.node(2).connection).await.unwrap(), before, "{name}: node 2 has changed");
        let is_link = matches!(says, Stops(_));
        if is_link {
            mesh.run(1, &fill(undo)).await;
        }
        session.deliver(inbox, &Mail::named("after")).await.unwrap();
        let expected =
            mesh.count(1, "select count(*) from dbmail_messages where unique_id = 'after' and status < 2").await;
        mesh.await_count(2, "select count(*) from dbmail_messages where unique_id = 'after' and status < 2", expected)
            .await;
        if !is_link {
            mesh.run(1, &fill(undo)).await;
        }
        mesh.run(2, "select dbmail_mesh.retry()").await;
        mesh.await_count(2, "select count(*) from dbmail_mesh.set_aside", 0).await;
    }
    let uids = mesh.uids(1, inbox).await;
    mesh.await_uids(2, inbox, &uids).await;
    worker.stop().await;
}

impl Mesh {
    /// Waits until a query returns something that contains `part`; returns it.
    async fn await_text(&self, id: i16, sql: &str, part: &str, name: &str) -> String {
        let begun = Instant::now();
        loop {
            let row = self.psql(id).await.query_opt(sql, &[]).await.unwrap();
            let text: String = row.map(|row| row.get(0)).unwrap_or_default();
            if text.contains(part) {
                return text;
            }
            if begun.elapsed() > DEADLINE {
                let link = "select coalesce(max(concat_ws(' ', state, last_error)), '') from dbmail_mesh.link_status";
                panic!("{name}: {text:?} has nothing of {part:?}; link: {}", self.text(id, link).await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The clock that a node's statements ask is 400 days ahead: a function of its name takes its place, for their `search_path` begins with
/// `pg_catalog`.
const WRONG_CLOCK: &str = "alter function pg_catalog.clock_timestamp() rename to right_clock;
    create function pg_catalog.clock_timestamp() returns timestamptz volatile language sql as
      'select pg_catalog.right_clock() + interval ''400 days'''";
const RIGHT_CLOCK: &str = "drop function pg_catalog.clock_timestamp();
    alter function pg_catalog.right_clock() rename to clock_timestamp";

/// Two nodes whose clocks are days apart: what the one writes would win over everything that the other does. The link between them stops,
/// nothing is set aside for it, and goes on when the clocks are right.
#[tokio::test]
async fn clocks_that_are_days_apart_stop_a_link() {
    let (mesh, inbox) = Mesh::with_inbox("days", 2, 2).await;
    mesh.run(1, WRONG_CLOCK).await;
    let worker = mesh.work();
    mesh.dbmail(1).await.deliver(inbox, &Mail::named("m")).await.unwrap();
    let refused = "select count(*) from dbmail_mesh.link_status
                   where state = 'refused' and last_error like 'the clock of the source is 9___ hours ahead of that of the target%'";
    mesh.await_count(2, refused, 1).await;
    assert_eq!(mesh.count(2, "select count(*) from dbmail_mesh.set_aside").await, 0);
    worker.stop().await;
    mesh.run(1, RIGHT_CLOCK).await;
    let worker = mesh.work();
    mesh.await_equal(inbox, 1).await;
    worker.stop().await;
}
