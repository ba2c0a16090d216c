//! Mail flows while the nodes are compared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};

use super::{Rig, differences, set};
use crate::mesh::DEADLINE;

/// How often each node gets a message: enough to have something in flight all the time, and no more.
const PACE: Duration = Duration::from_millis(40);

/// Delivers, marks and expunges until it is told to stop.
async fn traffic(node: NodeSettings, inbox: MailboxId, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) {
    let mut session = Session::connect(&node.connection).await.unwrap();
    let mut random = fastrand::Rng::with_seed(node.id.0 as u64);
    let mut pace = tokio::time::interval(PACE);
    while !stop.load(Ordering::SeqCst) {
        pace.tick().await;
        let mail = Mail::generate(&mut random, 500);
        let uid = session.deliver(inbox, &mail).await.unwrap();
        if random.bool() {
            session.store(inbox, &[uid], &StoreFlags::add(Flags::SEEN)).await.unwrap();
        }
        if random.u8(..3) == 0 {
            session.store(inbox, &[uid], &StoreFlags::add(Flags::DELETED)).await.unwrap();
            session.expunge(inbox).await.unwrap();
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
}

/// On three nodes at once, so that messages are late and settled all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_in_flight_is_no_difference() {
    let rig = Rig::new("flow", 3, 2).await;
    let worker = rig.mesh.work();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let flows: Vec<_> = rig
        .mesh
        .nodes
        .iter()
        .map(|node| tokio::spawn(traffic(node.clone(), rig.inbox, stop.clone(), done.clone())))
        .collect();
    for run in 0..3 {
        let before = done.load(Ordering::SeqCst);
        let begun = Instant::now();
        while done.load(Ordering::SeqCst) < before + 10 {
            assert!(begun.elapsed() < DEADLINE, "no traffic");
            tokio::task::yield_now().await;
        }
        let (code, report) = rig.json("").await;
        assert_eq!((code, differences(&report)), (0, set(&[])), "run {run}: {report:#}");
    }
    // In the middle of all this one that is real is found.
    let lost = rig.uid(0);
    rig.behind(2, &format!("delete from dbmail_keywords where message_idnr = {lost}; delete from dbmail_messages where message_idnr = {lost}")).await;
    let (code, report) = rig.json("--repair --wait 120s").await;
    assert_eq!((code, differences(&report)), (0, set(&[format!("message {lost}: missing")])), "{report:#}");
    stop.store(true, Ordering::SeqCst);
    for flow in flows {
        flow.await.unwrap();
    }
    assert_eq!(rig.json("").await.0, 0);
    worker.stop().await;
}

/// Without a worker nothing arrives: what is on its way cannot be told from what is lost, and what is lost is still found.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_links_it_cannot_be_told_apart() {
    let rig = Rig::new("still", 2, 2).await;
    rig.mesh.dbmail(1).await.deliver(rig.inbox, &Mail::named("new")).await.unwrap();
    let (code, report) = rig.json("--wait 500ms").await;
    assert_eq!((code, differences(&report)), (0, set(&[])), "{report:#}");
    assert_eq!(report["in_flight_total"], 1);
    assert_eq!(report["in_flight"][0]["reason"], "link ams -> fra has not brought everything");
    let shown = rig.run("--wait 500ms").await;
    assert!(shown.out.contains("no difference, 1 in flight, which cannot be told apart yet"), "{}", shown.out);
    let worker = rig.mesh.work();
    let (code, report) = rig.json("").await;
    assert_eq!((code, &report["in_flight_total"]), (0, &0.into()), "{report:#}");
    worker.stop().await;

    rig.behind(1, &format!("update dbmail_messages set flagged_flag = 1 where message_idnr = {}", rig.uid(0))).await;
    let (code, report) = rig.json("").await;
    assert_eq!(code, 1, "the links have nothing to bring: {report:#}");
    let (code, report) = rig.json("--repair --wait 500ms").await;
    assert_eq!((code, &report["repair"]["in_flight"]), (1, &1.into()), "it is marked, and nobody ships it: {report:#}");

    let aside = format!("insert into dbmail_mesh.set_aside values (1, 'm', {}, 'made up')", rig.uid(1));
    rig.mesh.run(2, &aside).await;
    rig.behind(2, &format!("delete from dbmail_messages where message_idnr = {}", rig.uid(1))).await;
    let (_, report) = rig.json("--wait 500ms").await;
    let reasons: Vec<&str> =
        report["in_flight"].as_array().unwrap().iter().map(|it| it["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"set aside on fra: made up"), "{reasons:?}");
}

/// Each node takes the messages out of a mailbox that has ended by itself, and ships nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_mailbox_that_is_being_emptied_is_in_flight() {
    let rig = Rig::new("emptied", 2, 2).await;
    let (uid, folder, inbox) = (rig.uid(0), rig.folder.0, rig.inbox.0);
    let fate = format!("insert into dbmail_mesh.mailbox_fate (mailbox_idnr, gone_in) values ({inbox}, null)");
    for node in [1, 2] {
        rig.behind(node, &fate).await;
    }
    rig.behind(2, &format!("update dbmail_messages set mailbox_idnr = {folder} where message_idnr = {uid}")).await;
    let (code, report) = rig.json("--wait 300ms").await;
    assert_eq!((code, differences(&report)), (0, set(&[])), "{report:#}");
    assert!(report.to_string().contains("its mailbox has ended on ams, and is being emptied"), "{report:#}");

    rig.behind(1, "delete from dbmail_mesh.mailbox_fate").await;
    rig.behind(2, "delete from dbmail_mesh.mailbox_fate").await;
    let (code, report) = rig.json("--wait 300ms").await;
    assert_eq!((code, differences(&report)), (1, set(&[format!("message {uid}: mailbox")])), "{report:#}");
}
