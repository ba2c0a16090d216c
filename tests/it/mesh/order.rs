//! Commit order: what a transaction that stays open, or that overtakes another, does to the mesh.

use dbmail_mesh::domain::ids::Uid;
use dbmail_mesh::scratch::standin::Mail;

use super::Mesh;

/// A transaction that delivered and stays open for the whole run holds its mailbox's line. It may delay its own message and no other:
/// not those of other mailboxes, nor those of its own.
#[tokio::test]
async fn an_open_transaction_delays_only_its_own_message() {
    let (mesh, inbox) = Mesh::with_inbox("open", 2, 2).await;
    let mut session = mesh.dbmail(1).await;
    let other = session.create_mailbox("alice", "Other").await.unwrap();
    let uid = session.deliver(inbox, &Mail::named("before")).await.unwrap();
    let worker = mesh.work();
    mesh.await_uids(2, inbox, &[uid.0]).await;

    let mut holder = mesh.psql(1).await;
    let open = holder.transaction().await.unwrap();
    let held: i64 = open.query_one(COPY_OF, &[&uid.0, &inbox.0, &"held"]).await.unwrap().get(0);
    for n in 0..5 {
        session.deliver(other, &Mail::named(&format!("other{n}"))).await.unwrap();
        session.deliver(inbox, &Mail::named(&format!("inbox{n}"))).await.unwrap();
    }
    mesh.await_count(2, "select count(*) from dbmail_messages where unique_id like 'other%' and status < 2", 5).await;
    mesh.await_count(2, "select count(*) from dbmail_messages where unique_id like 'inbox%' and status < 2", 5).await;
    assert_eq!(mesh.count(2, "select count(*) from dbmail_messages where unique_id = 'held'").await, 0);

    // It commits below what was shown meanwhile: it was overtaken, gets a new number, and a client that only ever asks for what is
    // above the last UID finds it.
    let last = mesh.uids(1, inbox).await.into_iter().max().unwrap();
    assert!(held < last);
    open.commit().await.unwrap();
    mesh.await_equal(inbox, 7).await;
    mesh.await_count(1, "select count(*) from dbmail_mesh.overtaking", 0).await;
    let mesh_uids = mesh.await_equal(inbox, 7).await;
    let resolved = "select current_uid from dbmail_mesh.resolve($1)";
    let current: i64 = mesh.psql(1).await.query_one(resolved, &[&held]).await.unwrap().get(0);
    assert!(current > last, "{held} became {current}, which a client that was shown {last} never asks for");
    assert!(mesh_uids.contains(&current));
    worker.stop().await;
}

/// A row as `COPY` makes it.
const COPY_OF: &str = "insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, recent_flag, status)
    select $2, physmessage_id, $3, 1, 0 from dbmail_messages where message_idnr = $1 returning message_idnr";

/// The outbox id is taken before the commit. A reader that remembers the highest id it has seen loses the row that commits late; the
/// cursor here is a snapshot. The test holds both readers side by side.
#[tokio::test]
async fn rows_that_commit_out_of_order_are_not_lost() {
    let (mesh, inbox) = Mesh::with_inbox("late_commit", 2, 2).await;
    let mut session = mesh.dbmail(1).await;
    let other = session.create_mailbox("alice", "Other").await.unwrap();
    let uid = session.deliver(inbox, &Mail::named("before")).await.unwrap();
    let worker = mesh.work();
    mesh.await_uids(2, inbox, &[uid.0]).await;

    let naive = mesh.psql(1).await;
    let mut last_id: i64 = naive.query_one("select max(id) from dbmail_mesh.outbox", &[]).await.unwrap().get(0);
    let mut seen_by_naive: Vec<i64> = Vec::new();
    let mut lost_by_naive = 0;
    for n in 0..20 {
        let mut slow = mesh.psql(1).await;
        let open = slow.transaction().await.unwrap();
        let early: i64 = open.query_one(COPY_OF, &[&uid.0, &inbox.0, &format!("slow{n}")]).await.unwrap().get(0);
        let quick = session.deliver(other, &Mail::named(&format!("quick{n}"))).await.unwrap();
        mesh.await_count(2, &format!("select count(*) from dbmail_messages where unique_id = 'quick{n}'"), 1).await;
        let mut naive_scan = async || {
            let rows = naive
                .query("select id, key from dbmail_mesh.outbox where id > $1 and kind = 'm' order by id", &[&last_id])
                .await
                .unwrap();
            last_id = rows.last().map_or(last_id, |row| row.get(0));
            seen_by_naive.extend(rows.iter().map(|row| row.get::<_, i64>(1)));
        };
        naive_scan().await;
        open.commit().await.unwrap();
        naive_scan().await;
        assert!(seen_by_naive.contains(&quick.0));
        lost_by_naive += usize::from(!seen_by_naive.contains(&early));
    }
    mesh.await_count(2, "select count(*) from dbmail_messages where unique_id like 'slow%' and status < 2", 20).await;
    worker.stop().await;
    assert_eq!(lost_by_naive, 20, "the naive reader lost nothing, so this test proves nothing");
}

/// Two deliveries that race for one mailbox: whoever is visible first has the lower UID.
#[tokio::test]
async fn racing_deliveries_become_visible_in_the_order_of_their_uids() {
    let (mesh, inbox) = Mesh::with_inbox("race", 1, 8).await;
    let mut writers = Vec::new();
    for writer in 0..8 {
        let mut session = mesh.dbmail(1).await;
        writers.push(tokio::spawn(async move {
            for n in 0..40 {
                session.deliver(inbox, &Mail::named(&format!("{writer}-{n}"))).await.unwrap();
            }
        }));
    }
    let mut reader = mesh.dbmail(1).await;
    let (mut last, mut seen) = (Uid(0), 0);
    loop {
        let finished = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let new = reader.search_above(inbox, last).await.unwrap();
        seen += new.len();
        last = new.last().map_or(last, |listed| listed.uid);
        if finished && new.is_empty() {
            break;
        }
    }
    // A client that only ever asks for what is above the last UID has missed nothing.
    assert_eq!(seen, 8 * 40);
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(
        mesh.count(1, "select count(*) from dbmail_mesh.overtaking").await,
        0,
        "nobody had to go without the lock"
    );
}
