//! A client that moves on because its node is lost: it finds what that node never had, though it asks only for what is above the last
//! UID that it was shown.

use std::time::{Duration, Instant};

use dbmail_mesh::config::Presence;
use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::reader::IncrementalReader;
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};

use super::{DEADLINE, Mesh};

const A: i16 = 1;
const B: i16 = 2;
const C: i16 = 3;

/// Three nodes; alice reads on A, and the others know it.
async fn mesh_with_reader_on_a(prefix: &str) -> (Mesh, MailboxId, IncrementalReader) {
    let (mut mesh, inbox) = Mesh::with_inbox(prefix, 3, 8).await;
    mesh.mesh.presence = Presence::For(Duration::from_secs(86_400));
    let worker = mesh.work();
    mesh.dbmail(A).await.login("alice").await.unwrap();
    for id in [B, C] {
        mesh.await_count(
            id,
            "select count(*) from dbmail_mesh.reader_elsewhere where born_as = 'alice' and node_id = 1",
            1,
        )
        .await;
        // A member that takes part: what it has never told that it holds is no knowledge of what it lacks.
        mesh.await_count(id, "select count(*) from dbmail_mesh.acknowledged where target_id = 1", 1).await;
    }
    worker.stop().await;
    (mesh, inbox, IncrementalReader::new("a", inbox))
}

/// Delivers until the UID is above `floor`: names `name0`, `name1`, …
async fn deliver_above(session: &mut Session, inbox: MailboxId, name: &str, floor: Uid) -> Vec<String> {
    for n in 0.. {
        if session.deliver(inbox, &Mail::named(&format!("{name}{n}"))).await.unwrap() > floor {
            return (0..=n).map(|n| format!("{name}{n}")).collect();
        }
    }
    Vec::new()
}

async fn database(mesh: &Mesh, id: i16) -> String {
    mesh.node(id).connection.get_dbname().unwrap().to_owned()
}

/// A is gone: nobody gets in, and whoever was in is out.
async fn lose(mesh: &Mesh, id: i16) {
    let name = database(mesh, id).await;
    let other = mesh.psql(if id == C { A } else { C }).await;
    other.batch_execute(&format!("alter database \"{name}\" allow_connections false")).await.unwrap();
    other.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", &[&name]).await.unwrap();
}

async fn find(mesh: &Mesh, id: i16) {
    let name = database(mesh, id).await;
    let other = mesh.psql(if id == C { A } else { C }).await;
    other.batch_execute(&format!("alter database \"{name}\" allow_connections true")).await.unwrap();
}

async fn numbers(mesh: &Mesh, id: i16) -> i64 {
    mesh.count(id, "select count(*) from dbmail_mesh.number").await
}

/// Polls on C, as the client does that was on A, until it has these messages; returns how long that took.
async fn poll_on_c(mesh: &Mesh, reader: &mut IncrementalReader, expected: &[&str]) -> Duration {
    let mut session = mesh.dbmail(C).await;
    let begun = Instant::now();
    session.login("alice").await.unwrap();
    loop {
        reader.poll(&mut session).await.unwrap();
        let missing = reader.missing(expected);
        if missing.is_empty() {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < DEADLINE, "never found {missing:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// C delivers 2; A delivers 3, and its client is shown 3; 3 reaches C; A is lost before it gets 2.
#[tokio::test]
async fn a_client_finds_what_its_lost_node_never_had() {
    let (mesh, inbox, mut reader) = mesh_with_reader_on_a("moved").await;
    let worker = mesh.work_for(&[B, C]);
    let mut at_c = mesh.dbmail(C).await;
    let two = at_c.deliver(inbox, &Mail::named("two")).await.unwrap();
    let mut at_a = mesh.dbmail(A).await;
    let of_a = deliver_above(&mut at_a, inbox, "three", two).await;
    reader.poll(&mut at_a).await.unwrap();
    assert!(reader.last_uid > two && !reader.missing(["two"]).is_empty());
    mesh.await_count(
        C,
        "select count(*) from dbmail_messages where unique_id like 'three%' and status < 2",
        of_a.len() as i64,
    )
    .await;
    drop(at_a);
    lose(&mesh, A).await;
    mesh.await_count(C, "select count(*) from dbmail_mesh.link_status where source_id = 1 and state = 'failing'", 1)
        .await;
    // As long as he does not come, nobody has been shown anything here.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(numbers(&mesh, C).await, 0);

    let took = poll_on_c(&mesh, &mut reader, &["two"]).await;
    println!("found after {} ms", took.as_millis());
    assert_eq!(numbers(&mesh, C).await, 1, "what A had keeps its UID");
    let resolved = "select state, current_uid from dbmail_mesh.resolve($1)";
    let row = mesh.psql(C).await.query_one(resolved, &[&two.0]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "renumbered");
    assert!(row.get::<_, i64>(1) > two.0);
    assert_eq!(mesh.count(C, "select messages from dbmail_mesh.moved_reader").await, 1);

    // Once is enough, however often he comes.
    at_c.login("alice").await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(numbers(&mesh, C).await, 1);

    // A comes back, and everything is everywhere, once.
    worker.stop().await;
    find(&mesh, A).await;
    let worker = mesh.work();
    mesh.await_equal(inbox, of_a.len() + 1).await;
    assert_eq!(numbers(&mesh, A).await, 1);
    worker.stop().await;
}

/// The same with a message of a third node, of which only that knows that A never had it.
#[tokio::test]
async fn he_finds_what_a_third_node_had_given_only_to_his_new_one() {
    let (mesh, inbox, mut reader) = mesh_with_reader_on_a("moved_third").await;
    let worker = mesh.work_for(&[B, C]);
    let two = mesh.dbmail(B).await.deliver(inbox, &Mail::named("two")).await.unwrap();
    mesh.await_count(C, "select count(*) from dbmail_messages where unique_id = 'two' and status < 2", 1).await;
    worker.stop().await;
    // A learns what C has by then, and that C's outbox has nothing else for it: only B knows that A lacks "two".
    let mut quiet = mesh.options(&[A]);
    quiet.nodes.retain(|node| node.id.0 != B);
    let worker = dbmail_mesh::worker::Worker::start(quiet).unwrap();
    mesh.dbmail(C).await.deliver(inbox, &Mail::named("one more")).await.unwrap();
    mesh.await_count(A, "select count(*) from dbmail_messages where unique_id = 'one more' and status < 2", 1).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    worker.stop().await;
    let worker = mesh.work_for(&[B, C]);
    let mut at_a = mesh.dbmail(A).await;
    let of_a = deliver_above(&mut at_a, inbox, "three", two).await;
    reader.poll(&mut at_a).await.unwrap();
    assert!(reader.last_uid > two && !reader.missing(["two"]).is_empty());
    mesh.await_count(
        C,
        "select count(*) from dbmail_messages where unique_id like 'three%' and status < 2",
        of_a.len() as i64,
    )
    .await;
    drop(at_a);
    lose(&mesh, A).await;
    poll_on_c(&mesh, &mut reader, &["two", "one more"]).await;
    worker.stop().await;
    find(&mesh, A).await;
}

/// What lies above everything that A may have shown is found without any help, and keeps its UID.
#[tokio::test]
async fn what_lies_above_is_not_renumbered() {
    let (mesh, inbox, mut reader) = mesh_with_reader_on_a("moved_above").await;
    let worker = mesh.work_for(&[B, C]);
    let mut at_a = mesh.dbmail(A).await;
    at_a.deliver(inbox, &Mail::named("one")).await.unwrap();
    reader.poll(&mut at_a).await.unwrap();
    mesh.await_count(C, "select count(*) from dbmail_messages where unique_id = 'one' and status < 2", 1).await;
    let mut at_c = mesh.dbmail(C).await;
    for name in ["two", "three"] {
        at_c.deliver(inbox, &Mail::named(name)).await.unwrap();
    }
    drop(at_a);
    lose(&mesh, A).await;
    mesh.await_count(C, "select count(*) from dbmail_mesh.link_status where source_id = 1 and state = 'failing'", 1)
        .await;
    at_c.deliver(inbox, &Mail::named("four")).await.unwrap();
    poll_on_c(&mesh, &mut reader, &["two", "three", "four"]).await;
    mesh.await_count(C, "select count(*) from dbmail_mesh.moved_reader", 1).await;
    assert_eq!(numbers(&mesh, C).await, 0);
    worker.stop().await;
    find(&mesh, A).await;
}

/// Who never read on the lost node finds everything as it was.
#[tokio::test]
async fn who_never_read_there_keeps_all_uids() {
    let (mut mesh, inbox) = Mesh::with_inbox("moved_never", 3, 8).await;
    mesh.mesh.presence = Presence::For(Duration::from_secs(86_400));
    let worker = mesh.work_for(&[B, C]);
    // Until a link has told it, C takes every mailbox for one that is being read.
    mesh.await_count(C, "select count(*) from dbmail_mesh.local_node where presence is not null", 1).await;
    let two = mesh.dbmail(C).await.deliver(inbox, &Mail::named("two")).await.unwrap();
    let of_a = deliver_above(&mut mesh.dbmail(A).await, inbox, "three", two).await;
    mesh.await_count(
        C,
        "select count(*) from dbmail_messages where unique_id like 'three%' and status < 2",
        of_a.len() as i64,
    )
    .await;
    lose(&mesh, A).await;
    mesh.await_count(C, "select count(*) from dbmail_mesh.link_status where source_id = 1 and state = 'failing'", 1)
        .await;
    mesh.dbmail(C).await.login("alice").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(numbers(&mesh, C).await, 0);
    worker.stop().await;
    find(&mesh, A).await;
}

/// What the lost node showed and its client expunged is below nothing any more; that the client was shown its UID stays true.
#[tokio::test]
async fn what_was_shown_and_expunged_counts_as_shown() {
    let (mesh, inbox, mut reader) = mesh_with_reader_on_a("moved_expunged").await;
    let worker = mesh.work_for(&[B, C]);
    let mut at_c = mesh.dbmail(C).await;
    let two = at_c.deliver(inbox, &Mail::named("two")).await.unwrap();
    let mut at_a = mesh.dbmail(A).await;
    let of_a = deliver_above(&mut at_a, inbox, "three", two).await;
    reader.poll(&mut at_a).await.unwrap();
    let shown: Vec<Uid> = reader.seen.keys().copied().collect();
    at_a.store(inbox, &shown, &StoreFlags::add(Flags::DELETED)).await.unwrap();
    assert_eq!(at_a.expunge(inbox).await.unwrap().len(), of_a.len());
    mesh.await_count(C, "select count(*) from dbmail_mesh.tombstone", of_a.len() as i64).await;
    for _ in 0..3 {
        at_c.purge().await.unwrap();
    }
    assert_eq!(mesh.count(C, "select count(*) from dbmail_messages where unique_id like 'three%'").await, 0);
    drop(at_a);
    lose(&mesh, A).await;
    poll_on_c(&mesh, &mut reader, &["two"]).await;
    worker.stop().await;
    find(&mesh, A).await;
}

/// What the lost node showed may be late on the new one at the moment when he comes, and not visible there yet.
#[tokio::test]
async fn what_is_late_here_was_shown_there() {
    let (mut mesh, inbox, mut reader) = mesh_with_reader_on_a("moved_late").await;
    mesh.mesh.settle_after = Duration::from_secs(6);
    let mut at_c = mesh.dbmail(C).await;
    at_c.login("alice").await.unwrap();
    let two = at_c.deliver(inbox, &Mail::named("two")).await.unwrap();
    let mut at_a = mesh.dbmail(A).await;
    let of_a = deliver_above(&mut at_a, inbox, "three", two).await;
    reader.poll(&mut at_a).await.unwrap();
    deliver_above(&mut at_c, inbox, "four", reader.last_uid).await;
    let worker = mesh.work_for(&[B, C]);
    mesh.await_count(C, "select count(*) from dbmail_mesh.late where row_idnr > 281474976710655", of_a.len() as i64)
        .await;
    drop(at_a);
    lose(&mesh, A).await;
    let names: Vec<&str> = of_a.iter().map(String::as_str).chain(["two", "four0"]).collect();
    poll_on_c(&mesh, &mut reader, &names).await;
    worker.stop().await;
    find(&mesh, A).await;
}

/// With the third node gone as well, the new one answers for it, as well as it can; and is asked again once that is back.
#[tokio::test]
async fn what_a_silent_node_had_given_is_found_as_well() {
    let (mesh, inbox, mut reader) = mesh_with_reader_on_a("moved_silent").await;
    let worker = mesh.work_for(&[C]);
    let two = mesh.dbmail(B).await.deliver(inbox, &Mail::named("two")).await.unwrap();
    let mut at_a = mesh.dbmail(A).await;
    let of_a = deliver_above(&mut at_a, inbox, "three", two).await;
    reader.poll(&mut at_a).await.unwrap();
    let visible =
        "select count(*) from dbmail_messages where (unique_id like 'three%' or unique_id = 'two') and status < 2";
    mesh.await_count(C, visible, of_a.len() as i64 + 1).await;
    drop(at_a);
    lose(&mesh, A).await;
    lose(&mesh, B).await;
    poll_on_c(&mesh, &mut reader, &["two"]).await;
    mesh.await_count(C, "select count(*) from dbmail_mesh.moved_reader where not complete and node_id = 1", 1).await;
    worker.stop().await;
    for id in [A, B] {
        let name = database(&mesh, id).await;
        mesh.psql(C).await.batch_execute(&format!("alter database \"{name}\" allow_connections true")).await.unwrap();
    }
}
