//! A node that is lost for ever, or cut off from some: what it gave to one peer reaches the others by that one.

use std::time::{Duration, Instant};

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::audit::audit;
use dbmail_mesh::scratch::ledger::Ledger;
use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags};
use dbmail_mesh::worker::{Options, Worker};

use super::{DEADLINE, Mesh, counted};

/// The outbox rows of a node that came from others.
const FOREIGN: &str = "select count(*) from dbmail_mesh.outbox where origin is not null";

impl Mesh {
    /// A mesh in which a node that is not heard of is soon done without.
    async fn that_relays(prefix: &str, count: i16) -> (Self, MailboxId) {
        let (mut mesh, inbox) = Self::with_inbox(prefix, count, 8).await;
        mesh.worker.relay_after = Duration::from_secs(1);
        // All first copies are done.
        for id in 1..=count {
            mesh.bring(id).await;
        }
        (mesh, inbox)
    }

    /// A worker for the links into `targets` that cannot reach the nodes in `gone`.
    fn work_without(&self, gone: &[i16], targets: &[i16]) -> Worker {
        let mut options: Options = self.options(targets);
        for node in options.nodes.iter_mut().filter(|node| gone.contains(&node.id.0)) {
            node.config = "host=/nonexistent user=nobody dbname=nothing".parse().unwrap();
        }
        Worker::start(options).unwrap()
    }

    /// Waits until the nodes show and hold the same, and all that is in the ledger.
    async fn await_same(&self, nodes: &[i16], ledger: &Ledger) {
        let nodes: Vec<_> =
            nodes.iter().map(|id| (self.node(*id).name.to_string(), self.node(*id).connection.clone())).collect();
        let begun = Instant::now();
        loop {
            let report = audit(&nodes, ledger, &[]).await.unwrap();
            if report.held() {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{report}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn deliver_to(&self, id: i16, place: (MailboxId, &str, &str), names: &[&str], ledger: &Ledger) -> Vec<Uid> {
        let mut session = self.dbmail(id).await;
        let mut uids = Vec::new();
        for name in names {
            let mail = Mail::named(name);
            uids.push(session.deliver(place.0, &mail).await.unwrap());
            ledger.delivered(place.1, place.2, &mail);
        }
        uids
    }

    async fn expunge_on(&self, id: i16, mailbox: MailboxId, uids: &[Uid], ledger: &Ledger) {
        let mut session = self.dbmail(id).await;
        session.store(mailbox, uids, &StoreFlags::add(Flags::DELETED)).await.unwrap();
        for expunged in session.expunge_named(mailbox).await.unwrap() {
            ledger.expunged(&expunged.unique_id);
        }
    }

    async fn await_name(&self, id: i16, name: &str, count: i64) {
        let sql = format!(
            "select count(*) from dbmail_messages where unique_id = '{name}' and status < 2 and message_idnr < 281474976710656"
        );
        self.await_count(id, &sql, count).await;
    }
}

/// A gives everything that can be changed to B alone and is gone. C gets it from B. Then A comes back, with mail of its own, and joins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_node_gave_to_one_peer_reaches_the_others() {
    let (mesh, inbox) = Mesh::that_relays("relay", 3).await;
    let ledger = Ledger::default();
    let place = (inbox, "alice", "INBOX");
    let old = mesh.dbmail(1).await.create_mailbox("alice", "Old").await.unwrap();
    let before = mesh.deliver_to(1, place, &["m1", "m2", "m3"], &ledger).await;
    let in_old = mesh.deliver_to(1, (old, "alice", "Old"), &["o1"], &ledger).await;
    let worker = mesh.work();
    mesh.await_equal(inbox, 3).await;
    mesh.await_equal(old, 1).await;
    worker.stop().await;

    let worker = mesh.work_for(&[2]);
    mesh.expunge_on(1, inbox, &before[..1], &ledger).await;
    let mut session = mesh.dbmail(1).await;
    let flags = StoreFlags::add(Flags::FLAGGED).keywords(&["Later"]);
    session.store(inbox, &before[1..2], &flags).await.unwrap();
    let work = session.create_mailbox("alice", "Work").await.unwrap();
    session.create_user("bob").await.unwrap();
    let his = session.create_mailbox("bob", "INBOX").await.unwrap();
    session.add_alias("team@example.org", "bob").await.unwrap();
    session.move_messages(inbox, &before[2..3], work).await.unwrap();
    mesh.expunge_on(1, old, &in_old, &ledger).await;
    session.delete_mailbox(old).await.unwrap();
    mesh.deliver_to(1, (work, "alice", "Work"), &["w1"], &ledger).await;
    mesh.deliver_to(1, (his, "bob", "INBOX"), &["b1"], &ledger).await;
    mesh.await_name(2, "b1", 1).await;
    mesh.await_name(2, "w1", 1).await;
    mesh.await_name(2, "m1", 0).await;
    mesh.bring(2).await;
    worker.stop().await;
    mesh.await_name(3, "b1", 0).await;

    let worker = mesh.work_without(&[1], &[2, 3]);
    mesh.await_name(3, "b1", 1).await;
    mesh.await_count(3, "select count(*) from dbmail_mailboxes where name = 'Old'", 0).await;
    // The ledger knows where a message was delivered; it has been moved since.
    mesh.await_count(
        3,
        &format!("select count(*) from dbmail_messages where unique_id = 'm3' and mailbox_idnr = {work}"),
        1,
    )
    .await;
    for id in [2, 3] {
        let kept = format!(
            "select count(*) from dbmail_messages g join dbmail_keywords k using (message_idnr)
             where g.message_idnr = {} and g.flagged_flag = 1 and k.keyword = 'Later' and g.status < 2",
            before[1]
        );
        mesh.await_count(id, &kept, 1).await;
        mesh.await_name(id, "m1", 0).await;
        assert_eq!(
            mesh.count(id, &format!("select count(*) from dbmail_mesh.tombstone where birth_uid = {}", before[0]))
                .await,
            1
        );
    }
    mesh.await_same(&[2, 3], &Ledger::default()).await;
    mesh.await_count(3, "select count(*) from dbmail_mesh.heard where node_id = 1", 1).await;

    // Weeks later: A took mail all the time; what the others expunged stays so.
    mesh.expunge_on(3, inbox, &before[1..2], &ledger).await;
    mesh.deliver_to(3, place, &["c1"], &ledger).await;
    mesh.deliver_to(1, place, &["a1", "a2"], &ledger).await;
    mesh.await_name(2, "c1", 1).await;
    worker.stop().await;
    let worker = mesh.work();
    mesh.await_equal(inbox, 3).await;
    mesh.await_same(&[1, 2, 3], &Ledger::default()).await;
    mesh.await_name(1, "m2", 0).await;
    worker.stop().await;
}

/// A and C are cut off from each other, B hears both. They go on as if it were not so, each conflict costs one number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_cut_off_from_each_other_meet_through_a_third() {
    let (mesh, inbox) = Mesh::that_relays("between", 3).await;
    let ledger = Ledger::default();
    let place = (inbox, "alice", "INBOX");
    let workers = [mesh.work_without(&[3], &[1]), mesh.work_without(&[], &[2]), mesh.work_without(&[1], &[3])];
    let mut uids = Vec::new();
    for round in 0..4 {
        uids.extend(mesh.deliver_to(1, place, &[&format!("a{round}"), &format!("aa{round}")], &ledger).await);
        mesh.deliver_to(3, place, &[&format!("c{round}")], &ledger).await;
        mesh.deliver_to(2, place, &[&format!("b{round}")], &ledger).await;
    }
    mesh.await_equal(inbox, 16).await;
    mesh.await_same(&[1, 2, 3], &ledger).await;
    // An expunge and a flag, each across.
    let listed = mesh.uids(1, inbox).await;
    mesh.expunge_on(1, inbox, &[Uid(listed[0])], &ledger).await;
    let mut session = mesh.dbmail(3).await;
    session.store(inbox, &[Uid(listed[1])], &StoreFlags::add(Flags::FLAGGED)).await.unwrap();
    mesh.await_equal(inbox, 15).await;
    mesh.await_count(
        1,
        &format!("select count(*) from dbmail_messages where message_idnr = {} and flagged_flag = 1", listed[1]),
        1,
    )
    .await;
    mesh.await_same(&[1, 2, 3], &ledger).await;
    for worker in workers {
        worker.stop().await;
    }
}

/// What was relayed to a node is that node's own to tell: the one that relayed it is lost next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_relayed_is_told_on_when_the_next_node_is_lost() {
    let (mesh, inbox) = Mesh::that_relays("chain", 4).await;
    let ledger = Ledger::default();
    let place = (inbox, "alice", "INBOX");
    let uids = mesh.deliver_to(1, place, &["m1", "m2"], &ledger).await;
    let worker = mesh.work();
    mesh.await_equal(inbox, 2).await;
    worker.stop().await;

    mesh.deliver_to(1, place, &["m3"], &ledger).await;
    mesh.expunge_on(1, inbox, &uids[..1], &ledger).await;
    let worker = mesh.work_for(&[2]);
    mesh.await_name(2, "m3", 1).await;
    mesh.await_name(2, "m1", 0).await;
    worker.stop().await;
    // A is lost. C gets it from B, D does not, and B is lost as well.
    let worker = mesh.work_without(&[1, 4], &[3]);
    mesh.await_name(3, "m3", 1).await;
    mesh.await_name(3, "m1", 0).await;
    worker.stop().await;
    mesh.await_name(4, "m3", 0).await;
    let worker = mesh.work_without(&[1, 2], &[3, 4]);
    mesh.await_name(4, "m3", 1).await;
    mesh.await_same(&[3, 4], &ledger).await;
    worker.stop().await;
}

/// A lost node is taken out of the mesh before anybody noticed that one peer has more of it than the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_gave_before_it_was_taken_out_reaches_all() {
    let (mesh, inbox) = Mesh::that_relays("dismissed", 3).await;
    let ledger = Ledger::default();
    mesh.deliver_to(1, (inbox, "alice", "INBOX"), &["m1"], &ledger).await;
    let worker = mesh.work_for(&[2]);
    mesh.await_name(2, "m1", 1).await;
    worker.stop().await;
    for id in [2, 3] {
        let dismissed: bool =
            mesh.psql(id).await.query_one("select dbmail_mesh.dismiss(1::smallint)", &[]).await.unwrap().get(0);
        assert!(dismissed);
    }
    let mut rest = Mesh::of(mesh.nodes[1..].to_vec(), 8);
    rest.worker.relay_after = Duration::from_secs(1);
    let worker = rest.work();
    rest.await_name(3, "m1", 1).await;
    rest.await_same(&[2, 3], &ledger).await;
    // And once it is everywhere, nobody keeps it any longer.
    worker.stop().await;
}

/// While all hear one another, nothing goes twice, and what came from others does not stay in the outbox. Before everybody has it, it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_steady_state_nothing_is_relayed() {
    let (mut mesh, inbox) = Mesh::that_relays("steady", 3).await;
    mesh.worker.outbox_keep = Duration::ZERO;
    // Longer than a busy machine keeps a link from having a turn.
    mesh.worker.relay_after = Duration::from_secs(30);
    let ledger = Ledger::default();
    let place = (inbox, "alice", "INBOX");
    mesh.deliver_to(1, place, &["m1", "m2"], &ledger).await;
    let worker = mesh.work_for(&[2]);
    mesh.await_name(2, "m2", 1).await;
    worker.stop().await;
    assert!(mesh.count(2, FOREIGN).await > 0);
    let worker = mesh.work_without(&[1], &[2]);
    mesh.await_count(2, "select count(*) from dbmail_mesh.link_status where source_id = 3 and state = 'current'", 1)
        .await;
    assert!(mesh.count(2, FOREIGN).await > 0, "C has not said that it has it");
    worker.stop().await;

    mesh.worker.relay_after = Duration::from_secs(3);
    let worker = mesh.work();
    mesh.deliver_to(3, place, &["c1"], &ledger).await;
    mesh.await_equal(inbox, 3).await;
    for id in 1..=3 {
        mesh.await_count(id, FOREIGN, 0).await;
        assert_eq!(mesh.count(id, "select count(*) from dbmail_mesh.heard").await, 0, "node {id}");
        assert_eq!(
            mesh.count(id, "select count(*) from dbmail_mesh.link_status where relays <> '{}'").await,
            0,
            "node {id}"
        );
    }
    worker.stop().await;
}

/// Of several sources that have it, one relays, and the others have nothing to add.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_source_relays_for_all() {
    let (mesh, inbox) = Mesh::that_relays("turns", 4).await;
    let ledger = Ledger::default();
    let names: Vec<String> = (0..30).map(|n| format!("m{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    mesh.deliver_to(1, (inbox, "alice", "INBOX"), &names, &ledger).await;
    let worker = mesh.work_for(&[2, 3]);
    mesh.await_name(2, "m29", 1).await;
    mesh.await_name(3, "m29", 1).await;
    worker.stop().await;
    let telemetry = std::sync::Arc::new(dbmail_mesh::telemetry::Telemetry::new().unwrap());
    let mut options = mesh.options(&[4]);
    options.nodes[0].config = "host=/nonexistent user=nobody dbname=nothing".parse().unwrap();
    let worker = Worker::start_with(options, telemetry.clone()).unwrap();
    mesh.await_name(4, "m29", 1).await;
    // A second moment of each source is reached after the first.
    for source in [2_i16, 3] {
        let first: String = mesh
            .text(4, &format!("select relayed_snapshot::text from dbmail_mesh.cursor where source_id = {source}"))
            .await;
        mesh.deliver_to(source, (inbox, "alice", "INBOX"), &[&format!("later{source}")], &ledger).await;
        let moved = format!(
            "select count(*) from dbmail_mesh.cursor where source_id = {source} and relayed_snapshot::text <> '{first}'"
        );
        mesh.await_count(4, &moved, 1).await;
    }
    let relayed_by = |source| counted(&telemetry, "dbmail_mesh_messages_relayed_total", source);
    let relayed = mesh.nodes.iter().map(|node| relayed_by(node.name.as_str())).sum::<f64>();
    assert_eq!(relayed, 30.0, "message states");
    worker.stop().await;
}

/// What C refused of a node that is lost since, B has. Once C takes it, it comes from there; so it does when the lost node was taken out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_of_a_lost_node_comes_from_another() {
    for taken_out in [false, true] {
        let (mesh, inbox) = Mesh::that_relays("refused", 3).await;
        let ledger = Ledger::default();
        mesh.run(3, "alter table dbmail_messages add constraint no_poison check (unique_id not like 'poison%')").await;
        let worker = mesh.work();
        mesh.deliver_to(1, (inbox, "alice", "INBOX"), &["poison", "m1"], &ledger).await;
        mesh.await_name(3, "m1", 1).await;
        mesh.await_name(2, "poison", 1).await;
        let aside = "select count(*) from dbmail_mesh.set_aside where source_id = 1 and kind = 'm'";
        mesh.await_count(3, aside, 1).await;
        worker.stop().await;
        if taken_out {
            for id in [2, 3] {
                mesh.psql(id).await.execute("select dbmail_mesh.dismiss(1::smallint)", &[]).await.unwrap();
            }
        }
        mesh.run(3, "alter table dbmail_messages drop constraint no_poison").await;
        let worker = mesh.work_without(&[1], &[2, 3]);
        mesh.await_name(3, "poison", 1).await;
        mesh.await_same(&[2, 3], &ledger).await;
        worker.stop().await;
    }
}
