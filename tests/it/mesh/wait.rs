//! `dbmail-mesh wait`: it returns when everything is visible, and not before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::standin::{Mail, Session};
use jiff::Timestamp;

use super::child::WorkerProcess;
use super::pause::{commands, says};
use super::{DEADLINE, Mesh};

const AMS: i16 = 1;
const FRA: i16 = 2;

/// Delivers until it is told to stop; returns nothing, for each message is in the mailbox of its node by then.
async fn keep_delivering(mut session: Session, inbox: MailboxId, name: &'static str, stop: Arc<AtomicBool>) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        session.deliver(inbox, &Mail::named(&format!("{name}{n}"))).await.unwrap();
    }
}

/// What dbmail has committed on a node: those that are hidden there included.
async fn committed(mesh: &Mesh, id: i16) -> BTreeSet<String> {
    let sql = "select unique_id from dbmail_messages g join dbmail_mailboxes m using (mailbox_idnr)
               where m.name = 'INBOX' and g.message_idnr < 281474976710656
               union select g.unique_id from dbmail_mesh.late l join dbmail_messages g on g.message_idnr = l.row_idnr";
    mesh.psql(id).await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn visible(mesh: &Mesh, id: i16, inbox: MailboxId) -> BTreeSet<String> {
    let listed = mesh.dbmail(id).await.search_above(inbox, Uid(0)).await.unwrap();
    listed.iter().map(|listed| listed.unique_id.clone()).collect()
}

/// Both nodes deliver into one mailbox all the time, so that much is late on either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_returns_only_when_all_that_was_there_before_is_visible() {
    let (mesh, inbox) = Mesh::with_inbox("waitload", 2, 8).await;
    let file = commands(&mesh).await;
    let worker = WorkerProcess::start(&mesh);
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = [
        tokio::spawn(keep_delivering(mesh.dbmail(AMS).await, inbox, "a", stop.clone())),
        tokio::spawn(keep_delivering(mesh.dbmail(FRA).await, inbox, "b", stop.clone())),
    ];
    for (round, target) in [("fra", FRA), ("ams", AMS), ("fra", FRA)].into_iter().enumerate() {
        // Messages that are there and hidden are what a wait could miss.
        mesh.await_late().await;
        let expected: BTreeSet<String> = &committed(&mesh, AMS).await | &committed(&mesh, FRA).await;
        let waited = file.run(&format!("wait --node {}", target.0));
        let seen = visible(&mesh, target.1, inbox).await;
        says(&waited, 0, &["everything is visible on"]);
        let missing: Vec<_> = expected.difference(&seen).collect();
        assert!(missing.is_empty(), "round {round}: of {} are missing {missing:?}", expected.len());
    }
    stop.store(true, Ordering::Relaxed);
    for task in traffic {
        task.await.unwrap();
    }
    let settled = file.run("wait --for settled");
    says(&settled, 0, &["everything is visible and settled on ams, fra"]);
    assert_eq!(mesh.late().await, 0);
    assert_eq!(mesh.uids(AMS, inbox).await, mesh.uids(FRA, inbox).await);
    drop(worker);
}

/// The message has come, and its cursor has moved: but it is hidden until it has its new UID.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_is_waited_for() {
    let (mut mesh, inbox) = Mesh::with_inbox("waitlate", 2, 8).await;
    let file = commands(&mesh).await;
    mesh.dbmail(AMS).await.deliver(inbox, &Mail::named("low")).await.unwrap();
    for n in 0..3 {
        mesh.dbmail(FRA).await.deliver(inbox, &Mail::named(&format!("high{n}"))).await.unwrap();
    }
    mesh.mesh.settle_after = Duration::from_secs(600);
    let worker = WorkerProcess::start(&mesh);
    mesh.await_count(FRA, "select count(*) from dbmail_mesh.late", 1).await;
    let begun = Instant::now();
    loop {
        let ended = file.run("wait --node fra --timeout 300ms");
        assert_eq!(ended.code, 1, "{ended:?}");
        if ended.out.contains("node fra: messages that wait for a UID or a place: 1") {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{ended:?}");
    }
    worker.kill().await;
    mesh.mesh.settle_after = Duration::from_millis(100);
    let worker = WorkerProcess::start(&mesh);
    says(&file.run("wait --node fra"), 0, &[]);
    assert_eq!(visible(&mesh, FRA, inbox).await.len(), 4);
    drop(worker);
}

/// A link that has nothing to do stores how far it is every ten seconds; somebody who waits is not kept for so long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_quick_where_there_is_nothing_to_do() {
    let (mesh, inbox) = Mesh::with_inbox("waitidle", 3, 8).await;
    let file = commands(&mesh).await;
    let worker = WorkerProcess::start(&mesh);
    says(&file.run("wait"), 0, &[]);
    let (mut longest, mut marks) = (Duration::ZERO, 0);
    for n in 0..5 {
        mesh.dbmail(AMS).await.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap();
        let begun = Instant::now();
        says(&file.run("wait"), 0, &[]);
        longest = longest.max(begun.elapsed());
        marks = mesh.count(AMS, "select count(*) from dbmail_mesh.outbox where kind = 'w'").await;
        assert_eq!(visible(&mesh, FRA, inbox).await.len(), n + 1);
    }
    println!("waited for {} ms at the most, {marks} marks", longest.as_millis());
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    drop(worker);
    let ended = file.run("wait --timeout 300ms --node fra");
    assert!(ended.code == 0 || ended.out.contains("is dbmail-mesh run at work?"), "{ended:?}");
}

/// Their messages are still to be seen, or on their way into another mailbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_and_not_gone_is_waited_for() {
    let (mesh, inbox) = Mesh::with_inbox("waitend", 2, 8).await;
    let client = mesh.psql(FRA).await;
    let at = Timestamp::now() + DEADLINE;
    let ending = async || -> i64 {
        client.query_one(include_str!("../../../sql/wait/hidden.sql"), &[&at, &false]).await.unwrap().get("ending")
    };
    assert_eq!(ending().await, 0);
    let sql = format!("insert into dbmail_mesh.mailbox_fate (mailbox_idnr) values ({})", inbox.0);
    client.batch_execute(&sql).await.unwrap();
    assert_eq!(ending().await, 1);
    client.batch_execute("update dbmail_mesh.account set died_at = clock_timestamp()").await.unwrap();
    assert!(ending().await > 1);
    let gone = "update dbmail_mesh.mailbox_fate set gone_in = pg_current_xact_id();
                update dbmail_mesh.account set gone_in = pg_current_xact_id() where died_at is not null";
    client.batch_execute(gone).await.unwrap();
    assert_eq!(ending().await, 0);
}
