//! Both sides took mail while they were apart.

use super::Mesh;
use dbmail_mesh::scratch::standin::Mail;

const PER_SIDE: usize = 200;

/// A mailbox that bounces between two nodes would be renumbered 3→5→7→9 for ever. Here each message is renumbered at most once, and
/// both sides end equal.
#[tokio::test]
async fn a_symmetric_backlog_renumbers_each_message_at_most_once() {
    let (mesh, inbox) = Mesh::with_inbox("backlog", 2, 2).await;
    for id in [1, 2] {
        let mut session = mesh.dbmail(id).await;
        for n in 0..PER_SIDE {
            session.deliver(inbox, &Mail::named(&format!("{id}-{n}"))).await.unwrap();
        }
    }
    let worker = mesh.work();
    mesh.await_equal(inbox, 2 * PER_SIDE).await;
    worker.stop().await;
    for id in [1, 2] {
        let most =
            "select coalesce(max(n), 0) from (select count(*) as n from dbmail_mesh.number group by birth_uid) x";
        assert_eq!(mesh.count(id, most).await, 1, "a message was renumbered more than once on node {id}");
        let doubled = "select count(*) - count(distinct unique_id) from dbmail_messages where status < 2";
        assert_eq!(mesh.count(id, doubled).await, 0);
        // The last one of B was above everything that A had shown.
        let kept = "select count(*) from dbmail_mesh.number";
        assert!(mesh.count(id, kept).await < 2 * PER_SIDE as i64);
    }
}

/// A third node that saw both sides' mail grow takes part like any other.
#[tokio::test]
async fn three_sides_that_were_apart_end_equal() {
    let (mesh, inbox) = Mesh::with_inbox("backlog3", 3, 4).await;
    for n in 0..30 {
        for id in [1, 2, 3] {
            mesh.dbmail(id).await.deliver(inbox, &Mail::named(&format!("{id}-{n}"))).await.unwrap();
        }
    }
    let worker = mesh.work();
    mesh.await_equal(inbox, 90).await;
    worker.stop().await;
    for id in [1, 2, 3] {
        let most =
            "select coalesce(max(n), 0) from (select count(*) as n from dbmail_mesh.number group by birth_uid) x";
        assert_eq!(mesh.count(id, most).await, 1, "a message was renumbered more than once on node {id}");
    }
}
