//! The scenario of the mailing list, July 2005, with its numbers.

use super::Mesh;
use dbmail_mesh::scratch::standin::Mail;

/// The seq of alice's INBOX.
const SEQ: &str = "select seq from dbmail_mailboxes where mailbox_idnr = (select mailbox_idnr from dbmail_messages where message_idnr = 1)";

/// While the link is down, A delivers 5 and 7 and B delivers 6. A client of A was shown 7 when 6 arrives: it becomes 9, on B too.
/// A client of B was shown 6 when 5 arrives: likewise.
#[tokio::test]
async fn six_becomes_nine_and_is_dead_everywhere() {
    let mesh = Mesh::new("scenario", 2, 2).await;
    let mut a = mesh.dbmail(1).await;
    let mut b = mesh.dbmail(2).await;
    a.create_user("alice").await.unwrap();
    let inbox = a.create_mailbox("alice", "INBOX").await.unwrap();
    let worker = mesh.work();
    mesh.await_uids(2, inbox, &[]).await;
    for n in 1..=4 {
        let expected: Vec<i64> = (1..=n).collect();
        let session = if n % 2 == 1 { &mut a } else { &mut b };
        while session.find_mailbox("alice", "INBOX").await.unwrap().is_none() {}
        session.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap();
        mesh.await_uids(1, inbox, &expected).await;
        mesh.await_uids(2, inbox, &expected).await;
    }
    worker.stop().await;

    for (session, name) in [(&mut a, "m5"), (&mut b, "m6")] {
        session.deliver(inbox, &Mail::named(name)).await.unwrap();
    }
    a.deliver(inbox, &Mail::named("m7")).await.unwrap();
    assert_eq!(mesh.uids(1, inbox).await, [1, 2, 3, 4, 5, 7]);
    assert_eq!(mesh.uids(2, inbox).await, [1, 2, 3, 4, 6]);

    // Open sessions look at the mailbox's seq: it is bumped in the transaction that renumbers, and the row carries it.
    let mut seqs = Vec::new();
    for id in [1, 2] {
        seqs.push(mesh.count(id, SEQ).await);
    }
    let worker = mesh.work_for(&[1]);
    mesh.await_uids(1, inbox, &[1, 2, 3, 4, 5, 7, 9]).await;
    worker.stop().await;
    let worker = mesh.work();
    mesh.await_uids(1, inbox, &[1, 2, 3, 4, 7, 9, 11]).await;
    mesh.await_uids(2, inbox, &[1, 2, 3, 4, 7, 9, 11]).await;
    worker.stop().await;

    for (id, before) in [1, 2].into_iter().zip(seqs) {
        let now = mesh.count(id, SEQ).await;
        assert!(now > before, "node {id}: no open session would notice");
        assert_eq!(mesh.count(id, "select seq from dbmail_messages where message_idnr = 11").await, now, "node {id}");
        let client = mesh.psql(id).await;
        for (uid, state, current) in
            [(5, "renumbered", Some(11)), (6, "renumbered", Some(9)), (7, "current", Some(7)), (8, "unknown", None)]
        {
            let row = client.query_one("select * from dbmail_mesh.resolve($1)", &[&i64::from(uid)]).await.unwrap();
            assert_eq!(row.get::<_, &str>("state"), state, "{uid} on node {id}");
            assert_eq!(row.get::<_, Option<i64>>("current_uid"), current, "{uid} on node {id}");
        }
        let mut session = mesh.dbmail(id).await;
        assert!(session.fetch(inbox, dbmail_mesh::domain::ids::Uid(6)).await.unwrap().is_none());
        let nine = session.fetch(inbox, dbmail_mesh::domain::ids::Uid(9)).await.unwrap().unwrap();
        assert_eq!(nine.listed.unique_id, "m6");
    }
}
