//! A mesh in which nothing happens: its nodes are hardly asked, and notice all the same what no bell is rung for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dbmail_mesh::scratch::standin::Mail;
use dbmail_mesh::telemetry::Telemetry;
use dbmail_mesh::worker::Worker;

use super::{Mesh, counted};

/// Transactions a second and node, of the worker and whoever else, in a mesh at rest. One by one, its tasks would take about twenty.
const A_SECOND: i64 = 4;
const WINDOW: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_mesh_at_rest_is_hardly_asked_and_notices_what_nobody_rings_for() {
    let (mesh, inbox) = Mesh::with_inbox("idle", 3, 4).await;
    let mut options = mesh.options(&[1, 2, 3]);
    options.worker = dbmail_mesh::config::WorkerSettings::default();
    let worker = dbmail_mesh::worker::Worker::start(options).unwrap();
    let begun = Instant::now();
    let asker = mesh.psql(1).await;
    let count = async || {
        let sql = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
        asker.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    let mut fewest = i64::MAX;
    while fewest > A_SECOND {
        assert!(begun.elapsed() < PATIENCE, "there are {fewest} transactions a second");
        let (before, since) = (count().await, Instant::now());
        tokio::time::sleep(WINDOW).await;
        let seconds = i64::try_from(since.elapsed().as_secs()).unwrap().max(1);
        fewest = fewest.min((count().await - before) / seconds);
    }
    // As dbmail's SELECT does.
    mesh.run(1, &format!("update dbmail_mailboxes set seq = seq + 100 where mailbox_idnr = {inbox}")).await;
    for id in [2, 3] {
        mesh.await_count(
            id,
            &format!("select count(*) from dbmail_mailboxes where mailbox_idnr = {inbox} and seq >= 100"),
            1,
        )
        .await;
    }
    worker.stop().await;
}

/// dbmail raises HIGHESTMODSEQ a transaction after its delivery, and the target raises its own: each would be a batch, there and back.
#[tokio::test]
async fn a_message_that_comes_alone_takes_no_batch_back() {
    const MESSAGES: usize = 5;
    let (mesh, inbox) = Mesh::with_inbox("alone", 2, 2).await;
    let telemetry = Arc::new(Telemetry::new().unwrap());
    let worker = Worker::start_with(mesh.options(&[1, 2]), telemetry.clone()).unwrap();
    let mut session = mesh.dbmail(1).await;
    let mut uids = vec![session.deliver(inbox, &Mail::named("first")).await.unwrap().0];
    mesh.await_uids(2, inbox, &uids).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let batches_from = |source| counted(&telemetry, "dbmail_mesh_batches_total", source);
    let before = (batches_from("a"), batches_from("b"));
    for n in 0..MESSAGES {
        uids.push(session.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap().0);
        mesh.await_uids(2, inbox, &uids).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let there = batches_from("a") - before.0;
    let back = batches_from("b") - before.1;
    println!("{there} batches for {MESSAGES} messages, and {back} back");
    let messages = MESSAGES as f64;
    assert!(there >= messages && there < 3.0 * messages, "{there} batches");
    assert!(back < messages, "{back} batches on the way back");
    let seq = format!("select seq from dbmail_mailboxes where mailbox_idnr = {inbox}");
    assert_eq!(mesh.count(1, &seq).await, mesh.count(2, &seq).await, "HIGHESTMODSEQ");
    worker.stop().await;
}
