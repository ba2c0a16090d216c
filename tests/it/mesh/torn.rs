//! A settlement that breaks off: after the reservation, after each lock, each write, each commit.

use dbmail_mesh::scratch::standin::Mail;
use dbmail_mesh::worker::settle::{Settler, Step};

use super::Mesh;

/// No number is handed out twice, and the mesh ends equal, wherever it was torn.
#[tokio::test]
async fn a_settlement_torn_at_any_step_ends_equal_and_uses_no_number_twice() {
    let (mesh, inbox) = Mesh::with_inbox("torn", 3, 4).await;
    let steps = std::iter::once(Step::Reserved)
        .chain((1..=3).map(Step::Locked))
        .chain((1..=3).map(Step::Written))
        .chain((1..=3).map(Step::Committed));
    let mut delivered = 0;
    for (round, step) in steps.enumerate() {
        let worker = mesh.work();
        mesh.await_equal(inbox, delivered).await;
        worker.stop().await;
        // B's is below C's, and C's below A's: on two nodes something is late.
        for id in [2, 3, 1] {
            mesh.dbmail(id).await.deliver(inbox, &Mail::named(&format!("{round}-{id}"))).await.unwrap();
            delivered += 1;
        }
        // The links run, the settlement does not: settle_after is long.
        let mut slow = mesh.options(&[1, 2, 3]);
        slow.mesh.settle_after = std::time::Duration::from_secs(600);
        let worker = dbmail_mesh::worker::Worker::start(slow).unwrap();
        for id in [1, 2, 3] {
            let held = "select (select count(*) from dbmail_mesh.late where row_idnr >= 281474976710656)
                             + (select count(*) from dbmail_messages where status < 2)";
            mesh.await_count(id, held, delivered as i64).await;
        }
        worker.stop().await;
        assert!(mesh.late().await > 0, "nothing was late at {step:?}: the test tests nothing");
        let mut now = mesh.options(&[1, 2, 3]);
        now.mesh.settle_after = std::time::Duration::ZERO;
        let settler = Settler::break_off_at(now, Some(step)).unwrap();
        settler.settle(inbox).await.unwrap_err();
    }
    let worker = mesh.work();
    mesh.await_equal(inbox, delivered).await;
    worker.stop().await;
    for id in [1, 2, 3] {
        // One number, one message, on all nodes: every node knows the same birth for each number.
        let client = mesh.psql(id).await;
        let rows = client.query("select uid, birth_uid from dbmail_mesh.number order by uid", &[]).await.unwrap();
        let here: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let first = mesh.psql(1).await;
        let rows = first.query("select uid, birth_uid from dbmail_mesh.number order by uid", &[]).await.unwrap();
        let there: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(here, there);
        let reused = "select count(*) from dbmail_mesh.number n join dbmail_mesh.number m on m.birth_uid = n.uid";
        assert_eq!(mesh.count(id, reused).await, 0);
    }
    // What was reserved and never used stays burned: the sequence is past it, and so is every later delivery, in any mailbox.
    let reserved = mesh.count(1, "select max(uid) from dbmail_mesh.reservation").await;
    assert!(mesh.count(1, "select last_value from dbmail_message_idnr_seq").await >= reserved);
    let mut session = mesh.dbmail(1).await;
    let other = session.create_mailbox("alice", "Other").await.unwrap();
    assert!(session.deliver(other, &Mail::named("later")).await.unwrap().0 > reserved);
    let foreign = "select count(*) from dbmail_mesh.reservation where uid % 4 <> 1";
    assert_eq!(mesh.count(1, foreign).await, 0, "a number of another node's class");
}
