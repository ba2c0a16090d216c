//! Rows that a target refuses: each is set aside by itself, with its error, and all else goes on.

use std::time::{Duration, Instant};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{MailboxId, NodeId, Stride};
use dbmail_mesh::scratch::cluster::{DBMAIL_ROLE, OWNER_ROLE};
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags};

use super::{DEADLINE, Mesh};

/// What is set aside on node 2: `kind waits reason`, a line each.
const ASIDE: &str = "select coalesce(string_agg(concat_ws(' ', kind, case when waits then 'waits' end, reason), e'\\n' order by kind, key), '')
    from dbmail_mesh.aside";

impl Mesh {
    /// Waits until what is set aside on node 2 is what `is_expected` says.
    async fn await_aside(&self, name: &str, is_expected: impl Fn(&[&str]) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let aside = self.text(2, ASIDE).await;
            if is_expected(&aside.lines().collect::<Vec<_>>()) {
                return aside;
            }
            assert!(begun.elapsed() < DEADLINE, "{name}: {aside}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Has everything tried again until nothing is set aside any more.
    async fn retry_all(&self) {
        self.run(2, "select dbmail_mesh.retry()").await;
        self.await_count(2, "select count(*) from dbmail_mesh.set_aside", 0).await;
    }

    async fn await_current(&self) {
        self.await_count(
            2,
            "select count(*) from dbmail_mesh.link_status where state = 'current' and source_id = 1",
            1,
        )
        .await;
    }
}

/// One refusal: what the DBA did on node 2, what is written on node 1, what is set aside for it (kind, whether it waits, a part of the
/// reason), and what he does to mend it.
struct Refusal {
    name: &'static str,
    dba: &'static str,
    write: &'static str,
    aside: &'static [(&'static str, &'static str)],
    mend: &'static str,
}

/// In `write`, `alice` is her user_idnr, `inbox` her INBOX, `victim` a UID there. Mail is delivered by `mail(mailbox, name)`.
const REFUSALS: &[Refusal] = &[
    Refusal {
        name: "a check on messages",
        dba: "alter table dbmail_messages add constraint no_poison check (unique_id <> 'poison') not valid",
        write: "select mail(inbox, 'poison')",
        aside: &[("message", "violates check constraint \"no_poison\" (SQLSTATE 23514, table dbmail_messages, constraint no_poison)")],
        mend: "alter table dbmail_messages drop constraint no_poison",
    },
    Refusal {
        name: "a trigger that raises, with what only it knows",
        dba: "create function dba() returns trigger language plpgsql as
                'begin if new.unique_id = ''raised'' then raise exception e''not\\n here: %'', new.unique_id using detail = ''secret''; end if; return new; end';
              create trigger dba before insert on dbmail_messages for each row execute function dba()",
        write: "select mail(inbox, 'raised')",
        aside: &[("message", "not here: raised (SQLSTATE P0001)")],
        mend: "drop trigger dba on dbmail_messages; drop function dba()",
    },
    Refusal {
        name: "a flag that may not be set",
        dba: "create function dba() returns trigger language plpgsql as
                'begin if new.flagged_flag = 1 then raise exception ''no flags'' using errcode = ''XY123''; end if; return new; end';
              create trigger dba before update on dbmail_messages for each row execute function dba()",
        write: "update dbmail_messages set flagged_flag = 1 where message_idnr = victim",
        aside: &[("message", "no flags (SQLSTATE XY123)")],
        mend: "drop trigger dba on dbmail_messages; drop function dba()",
    },
    Refusal {
        name: "a keyword that is too long",
        dba: "alter table dbmail_keywords add constraint short check (length(keyword) < 5) not valid",
        write: "insert into dbmail_keywords values (victim, 'much-too-long')",
        aside: &[("message", "constraint short")],
        mend: "alter table dbmail_keywords drop constraint short",
    },
    Refusal {
        name: "a message that may not die",
        dba: "create function dba() returns trigger language plpgsql as
                'begin if new.status >= 2 and old.unique_id = ''immortal'' then raise exception ''no''; end if; return new; end';
              create trigger dba before update on dbmail_messages for each row execute function dba();
              create function dba_delete() returns trigger language plpgsql as
                'begin if old.unique_id = ''immortal'' then raise exception ''no''; end if; return old; end';
              create trigger dba_delete before delete on dbmail_messages for each row execute function dba_delete()",
        write: "update dbmail_messages set status = 2 where unique_id = 'immortal' and status < 2",
        aside: &[("message", "no (SQLSTATE P0001)")],
        mend: "drop trigger dba on dbmail_messages; drop function dba(); drop trigger dba_delete on dbmail_messages; drop function dba_delete()",
    },
    Refusal {
        name: "content that is refused",
        dba: "alter table dbmail_envelope add constraint no_envelope check (envelope not like '%contraband%') not valid",
        write: "select mail(inbox, 'contraband')",
        aside: &[("message", "constraint no_envelope")],
        mend: "alter table dbmail_envelope drop constraint no_envelope",
    },
    Refusal {
        name: "content that is too long for an older schema",
        dba: "alter table dbmail_envelope alter envelope type varchar(300)",
        write: "select mail(inbox, repeat('long', 17))",
        aside: &[("message", "value too long for type character varying(300) (SQLSTATE 22001)")],
        mend: "alter table dbmail_envelope alter envelope type text",
    },
    Refusal {
        name: "a user, whose mailbox and mail wait",
        dba: "alter table dbmail_users add constraint no_mallory check (userid <> 'mallory')",
        write: "insert into dbmail_users (userid, passwd) values ('mallory', '');
                insert into dbmail_mailboxes (owner_idnr, name) select user_idnr, 'INBOX' from dbmail_users where userid = 'mallory';
                select mail((select m.mailbox_idnr from dbmail_mailboxes m join dbmail_users u on u.user_idnr = m.owner_idnr
                             where u.userid = 'mallory'), 'to mallory')",
        aside: &[("mailbox waits", "its owner 'mallory/1' does not exist"), ("message waits", "its owner 'mallory/1' does not exist"), ("user", "constraint no_mallory")],
        mend: "alter table dbmail_users drop constraint no_mallory",
    },
    Refusal {
        name: "a mailbox, whose mail waits",
        dba: "alter table dbmail_mailboxes add constraint no_bad check (name <> 'Bad')",
        write: "insert into dbmail_mailboxes (owner_idnr, name) values (alice, 'Bad');
                select mail((select mailbox_idnr from dbmail_mailboxes where name = 'Bad'), 'bad ' || n) from generate_series(1, 5) n",
        aside: &[
            ("mailbox", "constraint no_bad"),
            ("message waits", "it was refused itself"),
            ("message waits", "it was refused itself"),
            ("message waits", "it was refused itself"),
            ("message waits", "it was refused itself"),
            ("message waits", "it was refused itself"),
        ],
        mend: "alter table dbmail_mailboxes drop constraint no_bad",
    },
    Refusal {
        name: "an alias that is too long for an older schema, among others",
        dba: "alter table dbmail_aliases alter alias type varchar(12)",
        write: "insert into dbmail_aliases (alias, deliver_to) values ('a@x', 'b@y'), ('much-too-long@x', 'b@y'), ('c@x', 'd@y')",
        aside: &[("entry", "value too long for type character varying(12) (SQLSTATE 22001)")],
        mend: "alter table dbmail_aliases alter alias type varchar(100)",
    },
    Refusal {
        // dbmail may have just written such a row: the link tried again for ever, and nothing else came over it.
        name: "a unique index that is not dbmail's",
        dba: "create unique index only_one on dbmail_aliases (alias)",
        write: "insert into dbmail_aliases (alias, deliver_to) values ('twice@x', 'one@y'), ('twice@x', 'two@y')",
        aside: &[("entry", "constraint only_one")],
        mend: "drop index only_one",
    },
    Refusal {
        name: "a unique index on users that is not dbmail's",
        dba: "create unique index only_one on dbmail_users (client_idnr) where client_idnr <> 0",
        write: "insert into dbmail_users (userid, passwd, client_idnr) values ('one', '', 7), ('two', '', 7)",
        aside: &[("user", "constraint only_one")],
        mend: "drop index only_one",
    },
    Refusal {
        name: "a foreign key that is missing",
        dba: "create table clients (id bigint primary key); insert into clients values (0), (7);
              alter table dbmail_aliases add constraint is_client foreign key (client_idnr) references clients",
        write: "insert into dbmail_aliases (alias, deliver_to, client_idnr) values ('client@x', 'b@y', 99)",
        aside: &[("entry", "(SQLSTATE 23503, table dbmail_aliases, constraint is_client)")],
        mend: "alter table dbmail_aliases drop constraint is_client",
    },
    Refusal {
        name: "a script that is too large for an index",
        dba: "create index too_small on dbmail_sievescripts (script)",
        write: "insert into dbmail_sievescripts (owner_idnr, name, script, active)
                select alice, 'large', string_agg(sha256(n::text::bytea)::text, ''), 0 from generate_series(1, 500) n",
        aside: &[("entry", "SQLSTATE 54000")],
        mend: "drop index too_small",
    },
];

/// A function `mail` that stores a message as dbmail does, in one transaction.
pub(super) const MAIL: &str = "create function mail(mailbox bigint, named text) returns bigint language plpgsql as $$
declare p bigint; u bigint;
begin
  insert into dbmail_physmessage (messagesize, rfcsize, internal_date) values (10, 10, now()) returning id into p;
  insert into dbmail_envelope (physmessage_id, envelope) values (p, repeat(named, 5));
  insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, status) values (mailbox, p, left(named, 70), 0) returning message_idnr into u;
  update dbmail_mailboxes set seq = seq + 1 where mailbox_idnr = mailbox;
  return u;
end $$";

/// Everything that a target may refuse, one after the other, over a link that goes on. What is mended arrives.
#[tokio::test]
async fn what_is_refused_stands_alone_and_arrives_once_it_may() {
    let (mesh, inbox) = Mesh::with_inbox("refused", 2, 2).await;
    mesh.run(1, MAIL).await;
    let victim = mesh.dbmail(1).await.deliver(inbox, &Mail::named("victim")).await.unwrap();
    mesh.dbmail(1).await.deliver(inbox, &Mail::named("immortal")).await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(inbox, 2).await;
    let mut count: i64 = 2;
    for refusal in REFUSALS {
        let name = refusal.name;
        mesh.run(2, refusal.dba).await;
        let write = refusal
            .write
            .replace("inbox", &inbox.to_string())
            .replace("victim", &victim.to_string())
            .replace("alice", "(select user_idnr from dbmail_users where userid = 'alice')");
        mesh.run(1, &format!("select mail({inbox}, 'before'); {write}; select mail({inbox}, 'after')")).await;
        count += 2;
        let arrived = "select count(*) from dbmail_messages where unique_id in ('before', 'after') and status < 2";
        mesh.await_count(2, arrived, count - 2).await;
        let aside = mesh
            .await_aside(name, |lines| {
                lines.len() == refusal.aside.len()
                    && lines
                        .iter()
                        .zip(refusal.aside)
                        .all(|(line, (what, why))| line.starts_with(what) && line.contains(why))
            })
            .await;
        assert!(!aside.contains("secret") && !aside.contains("DETAIL"), "{name}: {aside}");
        mesh.await_current().await;
        mesh.run(2, refusal.mend).await;
        mesh.retry_all().await;
    }
    mesh.bring(2).await;
    mesh.assert_same().await;
    let uids = mesh.uids(1, inbox).await;
    mesh.await_uids(2, inbox, &uids).await;
    let flagged = "select count(*) from dbmail_messages g join dbmail_keywords k using (message_idnr)
                   where g.unique_id = 'victim' and g.flagged_flag = 1 and k.keyword = 'much-too-long'";
    mesh.await_count(2, flagged, 1).await;
    worker.stop().await;
}

/// One among two hundred: it is found by halves, and the others arrive in a few batches.
#[tokio::test]
async fn one_among_many_costs_few_batches() {
    let (mesh, inbox) = Mesh::with_inbox("among", 2, 2).await;
    mesh.bring(2).await;
    mesh.run(1, MAIL).await;
    mesh.run(2, "alter table dbmail_messages add constraint no_poison check (unique_id not like 'poison%')").await;
    let batches = "select batches from dbmail_mesh.cursor where source_id = 1";
    for poison in [1, 137, 200] {
        let before = mesh.count(2, batches).await;
        let visible = mesh.uids(2, inbox).await.len();
        mesh.run(1, &format!("select mail({inbox}, case when n = {poison} then 'poison' else 'm' end || n) from generate_series(1, 200) n"))
            .await;
        let worker = mesh.work_for(&[2]);
        let arrived = format!("select count(*) from dbmail_messages where mailbox_idnr = {inbox} and status < 2");
        mesh.await_count(2, &arrived, visible as i64 + 199).await;
        let aside = mesh.await_aside("among", |lines| !lines.is_empty()).await;
        let keys = mesh
            .text(2, "select string_agg(concat_ws(' ', key, tries, first_seen), ', ') from dbmail_mesh.set_aside")
            .await;
        assert!(aside.lines().count() == 1 && aside.contains("no_poison"), "{poison}: {keys}: {aside}");
        mesh.await_current().await;
        worker.stop().await;
        let took = mesh.count(2, batches).await - before;
        assert!(took <= 20, "{took} batches for 200 messages, the one at fault at {poison}");
        mesh.run(2, "delete from dbmail_mesh.set_aside").await;
    }
}

/// Very many of them: each is set aside, and afterwards the link is as fast as before. They are tried again ever more rarely.
#[tokio::test]
async fn a_burst_of_them_leaves_a_link_as_it_was() {
    let (mesh, inbox) = Mesh::with_inbox("burst", 2, 2).await;
    mesh.bring(2).await;
    mesh.run(1, MAIL).await;
    mesh.run(2, "alter table dbmail_messages add constraint no_poison check (unique_id not like 'poison%')").await;
    mesh.run(
        1,
        &format!("select mail({inbox}, case when n between 50 and 119 or n % 10 = 0 then 'poison' else 'm' end || n) from generate_series(1, 200) n"),
    )
    .await;
    let worker = mesh.work_for(&[2]);
    mesh.await_count(2, "select count(*) from dbmail_mesh.set_aside where not waits and sqlstate = '23514'", 83).await;
    mesh.await_uids_count(2, inbox, 117).await;
    mesh.await_current().await;
    let before = mesh.count(2, "select batches from dbmail_mesh.cursor where source_id = 1").await;
    mesh.run(1, &format!("select mail({inbox}, 'later' || n) from generate_series(1, 400) n")).await;
    mesh.await_uids_count(2, inbox, 517).await;
    let took = mesh.count(2, "select batches from dbmail_mesh.cursor where source_id = 1").await - before;
    assert!(took <= 20, "{took} batches");
    // Tried again, each for itself, and then more rarely.
    mesh.await_count(2, "select count(*) from dbmail_mesh.set_aside where tries = 1", 0).await;
    let rarely = "select count(*) from dbmail_mesh.set_aside where next_try - last_tried < interval '8 s'";
    assert_eq!(mesh.count(2, rarely).await, 0);
    mesh.run(2, "alter table dbmail_messages drop constraint no_poison").await;
    mesh.retry_all().await;
    mesh.await_uids_count(2, inbox, 600).await;
    worker.stop().await;
}

impl Mesh {
    async fn await_uids_count(&self, id: i16, mailbox: MailboxId, count: i64) {
        let visible = format!("select count(*) from dbmail_messages where mailbox_idnr = {mailbox} and status < 2");
        self.await_count(id, &visible, count).await;
    }
}

/// A node that is filled goes on past what it refuses.
#[tokio::test]
async fn a_first_copy_goes_on_past_what_is_refused() {
    let mesh = Mesh::new("copy", 2, 2).await;
    mesh.run(1, MAIL).await;
    let mut session = mesh.dbmail(1).await;
    let mut inbox = MailboxId(0);
    for user in ["alice", "mallory", "zoe"] {
        session.create_user(user).await.unwrap();
        inbox = session.create_mailbox(user, "INBOX").await.unwrap();
        session.add_alias(&format!("{user}@x"), user).await.unwrap();
        mesh.run(1, &format!("select mail({inbox}, 'for {user} ' || n) from generate_series(1, 5) n")).await;
    }
    mesh.run(
        2,
        "alter table dbmail_users add constraint no_mallory check (userid <> 'mallory');
         alter table dbmail_aliases add constraint no_alias check (alias <> 'alice@x');
         alter table dbmail_messages add constraint no_poison check (unique_id <> 'for zoe 3')",
    )
    .await;
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_mesh.cursor where source_id = 1 and copy_stage is null", 1).await;
    mesh.await_uids_count(2, inbox, 4).await;
    mesh.await_current().await;
    let aside = mesh
        .await_aside("first copy", |lines| lines.iter().filter(|line| !line.contains(" waits ")).count() == 3)
        .await;
    for why in ["no_mallory", "no_alias", "no_poison"] {
        assert!(aside.contains(why), "{why}: {aside}");
    }
    mesh.run(
        2,
        "alter table dbmail_users drop constraint no_mallory; alter table dbmail_aliases drop constraint no_alias;
         alter table dbmail_messages drop constraint no_poison",
    )
    .await;
    mesh.retry_all().await;
    mesh.await_uids_count(2, inbox, 5).await;
    mesh.assert_same().await;
    worker.stop().await;
}

/// A message that is late and that one node refuses: the others do without that node once their patience is over, the message becomes
/// visible on them, and the mailbox goes on. Only the node that refuses it lacks it (guarantee D), until it is mended.
#[tokio::test]
async fn a_settlement_does_not_wait_for_a_node_that_refuses() {
    let (mesh, inbox) = Mesh::with_inbox("settlement", 3, 4).await;
    mesh.run(3, "alter table dbmail_messages add constraint no_poison check (unique_id <> 'poison')").await;
    let (mut a, mut b) = (mesh.dbmail(1).await, mesh.dbmail(2).await);
    b.deliver(inbox, &Mail::named("poison")).await.unwrap();
    b.deliver(inbox, &Mail::named("other")).await.unwrap();
    for n in 0..4 {
        a.deliver(inbox, &Mail::named(&format!("a{n}"))).await.unwrap();
    }
    let worker = mesh.work();
    for (node, count) in [(1, 6), (2, 6), (3, 5)] {
        mesh.await_uids_count(node, inbox, count).await;
    }
    mesh.await_count(3, "select count(*) from dbmail_mesh.set_aside where reason like '%no_poison%'", 2).await;
    let late = "select count(*) from dbmail_mesh.late";
    for node in [1, 2, 3] {
        mesh.await_count(node, late, 0).await;
    }
    a.deliver(inbox, &Mail::named("later")).await.unwrap();
    for (node, count) in [(1, 7), (2, 7), (3, 6)] {
        mesh.await_uids_count(node, inbox, count).await;
    }
    mesh.run(3, "alter table dbmail_messages drop constraint no_poison; select dbmail_mesh.retry()").await;
    mesh.await_equal(inbox, 7).await;
    mesh.await_count(3, "select count(*) from dbmail_mesh.set_aside", 0).await;
    worker.stop().await;
}

/// What would meet every row sets none aside: the link waits until it has passed.
#[tokio::test]
async fn what_is_not_the_rows_fault_sets_nothing_aside() {
    let (mesh, inbox) = Mesh::with_inbox("nobody", 2, 2).await;
    mesh.run(1, MAIL).await;
    let worker = mesh.work();
    for (n, code) in
        ["53100", "53200", "58030", "57P03", "40001", "40P01", "55P03", "25006", "42501", "0A000"].iter().enumerate()
    {
        mesh.run(
            2,
            &format!(
                "create sequence met; create function dba() returns trigger language plpgsql security definer as
                   'begin perform nextval(''public.met''); raise exception ''made up'' using errcode = ''{code}''; end';
                 create trigger dba before insert on dbmail_messages for each row execute function dba()"
            ),
        )
        .await;
        mesh.run(1, &format!("select mail({inbox}, 'm')")).await;
        mesh.await_count(2, &format!("select (last_value > 1)::int::bigint from met -- {code}"), 1).await;
        assert_eq!(mesh.text(2, ASIDE).await, "", "{code}");
        mesh.run(2, "drop trigger dba on dbmail_messages; drop function dba(); drop sequence met").await;
        mesh.await_uids_count(2, inbox, n as i64 + 1).await;
        assert_eq!(mesh.text(2, ASIDE).await, "", "{code}");
    }
    worker.stop().await;
}

/// A database without an encoding beside one in UTF-8: bytes that are no text there stay where they are, whatever they are part of.
#[tokio::test]
async fn what_is_no_text_in_the_other_encoding_stands_alone() {
    let (foreign, reason) = ("e'caf\\xe9'", "invalid byte sequence for encoding \"UTF8\" (SQLSTATE 22021)");
    let one = database_in("SQL_ASCII").await;
    let two = fresh_dbmail("utf").await.unwrap().get_dbname().unwrap().to_owned();
    let cluster = shared_cluster().await.unwrap();
    let nodes = vec![
        NodeSettings::new("a", NodeId(1), &cluster.worker_url(&one)).unwrap(),
        NodeSettings::new("b", NodeId(2), &cluster.worker_url(&two)).unwrap(),
    ];
    install(&nodes, &nodes, Stride(2)).await.unwrap();
    let mesh = Mesh::of(nodes, 2);
    mesh.run(1, MAIL).await;
    let mut session = mesh.dbmail(1).await;
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_mailboxes where name = 'INBOX' and seq >= 0", 1).await;
    let alice = "(select user_idnr from dbmail_users where userid = 'alice')";
    // The keyword last: one that was taken away is still known.
    for (what, write) in [
        ("message", format!("select mail({inbox}, {foreign})")),
        ("mailbox", format!("insert into dbmail_mailboxes (owner_idnr, name) values ({alice}, {foreign})")),
        ("user", format!("insert into dbmail_users (userid, passwd) values ({foreign}, '')")),
        (
            "entry",
            format!("insert into dbmail_aliases (alias, deliver_to) values ({foreign}, 'b@y'), ('plain@x', 'b@y')"),
        ),
        (
            "message",
            format!(
                "insert into dbmail_keywords select min(message_idnr), {foreign} from dbmail_messages where unique_id = 'first'"
            ),
        ),
    ] {
        mesh.run(1, &format!("select mail({inbox}, 'first'); {write}; select mail({inbox}, 'last')")).await;
        let arrived = format!(
            "select count(*) from dbmail_messages where mailbox_idnr = {inbox} and unique_id in ('first', 'last')"
        );
        let expected = mesh.count(1, &arrived).await;
        mesh.await_count(2, &arrived, expected).await;
        mesh.await_aside(what, |lines| {
            !lines.is_empty() && lines.iter().all(|line| line.starts_with(what) && line.contains(reason))
        })
        .await;
        mesh.await_current().await;
        mesh.run(
            1,
            "delete from dbmail_keywords; delete from dbmail_messages where unique_id not in ('first', 'last')",
        )
        .await;
        mesh.run(2, "delete from dbmail_mesh.set_aside").await;
    }
    mesh.await_count(2, "select count(*) from dbmail_aliases where alias = 'plain@x'", 1).await;
    worker.stop().await;
}

/// A dbmail database in another encoding.
async fn database_in(encoding: &str) -> String {
    let like = fresh_dbmail("latin").await.unwrap();
    let name = format!("{}_{}", like.get_dbname().unwrap(), encoding.to_lowercase());
    let admin = dbmail_mesh::scratch::cluster::connect(&like).await.unwrap();
    admin
        .batch_execute(&format!(
            "create database {name} owner {DBMAIL_ROLE} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
        ))
        .await
        .unwrap();
    admin.batch_execute(&format!("grant create on database {name} to {OWNER_ROLE}")).await.unwrap();
    let config = shared_cluster().await.unwrap().config(&name);
    let client = dbmail_mesh::scratch::cluster::connect(&config).await.unwrap();
    client.batch_execute(&format!("set role {DBMAIL_ROLE}")).await.unwrap();
    client.batch_execute(include_str!("../../../sql/scratch/dbmail_schema.sql")).await.unwrap();
    name
}

/// A message that was set aside and is changed meanwhile arrives as it is by then; one that is expunged is set aside no more.
#[tokio::test]
async fn what_was_set_aside_arrives_as_it_is_by_then() {
    let (mesh, inbox) = Mesh::with_inbox("then", 2, 2).await;
    mesh.run(2, "alter table dbmail_messages add constraint no_poison check (unique_id not like 'poison%')").await;
    let mut session = mesh.dbmail(1).await;
    let flagged = session.deliver(inbox, &Mail::named("poison flagged")).await.unwrap();
    let expunged = session.deliver(inbox, &Mail::named("poison expunged")).await.unwrap();
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_mesh.set_aside", 2).await;
    session.store(inbox, &[flagged], &StoreFlags::add(Flags { flagged: true, ..Flags::default() })).await.unwrap();
    session.store(inbox, &[expunged], &StoreFlags::add(Flags::DELETED)).await.unwrap();
    session.expunge(inbox).await.unwrap();
    mesh.run(2, "select dbmail_mesh.retry()").await;
    mesh.await_count(2, "select count(*) from dbmail_mesh.set_aside", 1).await;
    mesh.run(2, "alter table dbmail_messages drop constraint no_poison").await;
    mesh.retry_all().await;
    assert_eq!(mesh.await_equal(inbox, 1).await, [flagged.0]);
    assert_eq!(mesh.count(2, "select count(*) from dbmail_messages where flagged_flag = 1 and status < 2").await, 1);
    worker.stop().await;
}
