//! Content: shared as on the source, dense on each node, of any size.

use dbmail_mesh::scratch::standin::Mail;

use super::Mesh;
use super::child::WorkerProcess;

/// A COPY shares its content; on the target it is the same content again, also when it arrives in another batch.
#[tokio::test]
async fn content_that_is_shared_stays_shared() {
    let (mesh, inbox) = Mesh::with_inbox("shared", 2, 2).await;
    let mut session = mesh.dbmail(1).await;
    let folder = session.create_mailbox("alice", "Folder").await.unwrap();
    let uid = session.deliver(inbox, &Mail::generate(&mut fastrand::Rng::with_seed(1), 5000)).await.unwrap();
    let worker = mesh.work();
    mesh.await_uids(2, inbox, &[uid.0]).await;
    let copy = session.copy(uid, folder).await.unwrap();
    mesh.await_uids(2, folder, &[copy.0]).await;
    // And back: a copy on the node that only has it by replication.
    let mut there = mesh.dbmail(2).await;
    let back = there.copy(copy, inbox).await.unwrap();
    mesh.await_uids(1, inbox, &[uid.0, back.0]).await;
    worker.stop().await;
    for id in [1, 2] {
        let contents =
            "select count(distinct physmessage_id) from dbmail_messages where message_idnr < 281474976710656";
        assert_eq!(mesh.count(id, contents).await, 1, "node {id}");
        let parts = "select count(*) - count(distinct (hash, size)) from dbmail_mimeparts";
        assert_eq!(mesh.count(id, parts).await, 0, "node {id} stores a part twice");
    }
}

/// Above 2^31 dbmail loses mail: the ids of physmessages are each node's own next ones, however many come from elsewhere.
#[tokio::test]
async fn physmessage_ids_stay_dense() {
    let (mesh, inbox) = Mesh::with_inbox("dense", 2, 64).await;
    let worker = mesh.work();
    for n in 0..50 {
        for id in [1, 2] {
            mesh.dbmail(id).await.deliver(inbox, &Mail::named(&format!("{id}-{n}"))).await.unwrap();
        }
    }
    mesh.await_equal(inbox, 100).await;
    worker.stop().await;
    for id in [1, 2] {
        // A batch that was tried again has drawn ids twice; more than that would be a stride.
        assert!(mesh.count(id, "select max(id) from dbmail_physmessage").await < 300, "node {id}");
    }
}

/// 30 MB in one part: the worker holds a chunk of it at a time, and the content arrives to the byte.
#[tokio::test]
async fn a_large_message_passes_in_slices() {
    let (mesh, inbox) = Mesh::with_inbox("large", 2, 2).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut mail = Mail::named("large");
    mail.parts = vec![(0..30 << 20).map(|_| random.u8(..)).collect(), b"small".to_vec()];
    let mut session = mesh.dbmail(1).await;
    let worker = WorkerProcess::start_with(&mesh, &["--set", "worker.batch_bytes=1MiB"]);
    // What the program itself takes is not what is asked here; it grows with what is linked.
    let small = session.deliver(inbox, &Mail::named("small")).await.unwrap();
    mesh.await_uids(2, inbox, &[small.0]).await;
    let before = worker.peak_memory();
    let uid = session.deliver(inbox, &mail).await.unwrap();
    mesh.await_uids(2, inbox, &[small.0, uid.0]).await;
    let peak = worker.peak_memory();
    println!("peak memory of the worker: {} MiB, {} KiB before the large message", peak >> 20, before >> 10);
    assert!(peak - before < 8 << 20, "the worker took {} KiB for chunks of 1 MiB", (peak - before) >> 10);
    worker.kill().await;
    let there = mesh.dbmail(2).await.fetch(inbox, uid).await.unwrap().unwrap();
    assert_eq!(there.digest, mail.digest());
    assert_eq!(mesh.count(2, "select count(*) from dbmail_mesh.incoming_slice").await, 0);
}
