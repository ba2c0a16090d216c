//! `curmail_size` follows what is applied, on each node.

use dbmail_mesh::domain::ids::Uid;
use dbmail_mesh::scratch::standin::{Flags, StoreFlags};

use super::apart::Apart;

/// Each node counts what it shows to the owner: what is delivered, copied, moved and expunged on both sides, what is rescued from a folder
/// that the other side deleted, and what is renumbered meanwhile.
#[tokio::test]
async fn the_counters_are_the_sizes_of_what_is_shown() {
    let mut apart = Apart::new("quota").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    let folder = apart.create(1, "Folder").await;
    let doomed = apart.create(1, "Doomed").await;
    apart.deliver(1, folder, "in folder").await;
    apart.deliver(1, doomed, "known").await;
    apart.mesh.converge().await;
    for round in 0..3 {
        for node in [1, 2] {
            apart.deliver(node, inbox, &format!("in inbox {node} {round}")).await;
            let uid = apart.deliver(node, folder, &format!("in folder {node} {round}")).await;
            apart.session(node).copy(uid, inbox).await.unwrap();
            apart.session(node).copy(one, folder).await.unwrap();
        }
    }
    apart.expunge(2, one).await;
    apart.expunge(1, two).await;
    for node in [1, 2] {
        let uid = apart.uid(node, &format!("in folder {node} 1")).await;
        apart.session(node).move_messages(folder, &[uid], inbox).await.unwrap();
        apart.moved(&format!("in folder {node} 1"), "INBOX");
    }
    assert!(apart.session(1).delete_mailbox(doomed).await.unwrap());
    apart.deleted("Doomed");
    apart.deliver(2, doomed, "rescued").await;
    apart.meet().await;

    // All expunged on one side while the other adds.
    let shown: Vec<Uid> = apart.mesh.uids(1, folder).await.into_iter().map(Uid).collect();
    let session = apart.session(1);
    session.store(folder, &shown, &StoreFlags::add(Flags::DELETED)).await.unwrap();
    for expunged in session.expunge_named(folder).await.unwrap() {
        apart.expunged(&expunged.unique_id);
    }
    apart.deliver(2, folder, "after").await;
    apart.meet().await;
    apart.both_show(folder, &["after"]).await;
}
