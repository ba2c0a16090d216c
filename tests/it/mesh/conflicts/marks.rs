//! Flags and keywords that are changed while the nodes are apart.

use dbmail_mesh::scratch::standin::{Flags, StoreFlags};

use super::apart::Apart;

/// Each flag is a register of its own: dbmail writes all five columns at once where a client replaces flags, and only what changed is
/// a change.
#[tokio::test]
async fn seen_here_and_flagged_there_stay_both() {
    let mut apart = Apart::new("both_flags").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    apart.store(1, one, &StoreFlags::add(Flags::SEEN)).await;
    apart.store(2, one, &StoreFlags::replace(Flags::FLAGGED)).await;
    apart.store(1, two, &StoreFlags::replace(Flags::SEEN)).await;
    apart.store(2, two, &StoreFlags::add(Flags::FLAGGED)).await;
    apart.meet().await;
    apart.both_show(inbox, &["one \\Seen \\Flagged", "two \\Seen \\Flagged"]).await;
}

/// The later writer wins, by the clock. Both nodes are of one machine here, and the clock is seen to move on in between.
#[tokio::test]
async fn a_flag_that_is_set_here_and_cleared_there_ends_as_the_later_said() {
    let mut apart = Apart::new("later").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    for (uid, first) in [(one, 1), (two, 2)] {
        apart.store(first, uid, &StoreFlags::add(Flags::SEEN)).await;
        clock_moves(&apart, first).await;
        let second = 3 - first;
        apart.store(second, uid, &StoreFlags::add(Flags::SEEN)).await;
        apart.store(second, uid, &StoreFlags::remove(Flags::SEEN)).await;
        apart.store(second, uid, &StoreFlags::add(Flags::FLAGGED)).await;
        clock_moves(&apart, second).await;
        apart.store(first, uid, &StoreFlags::add(Flags::FLAGGED)).await;
        apart.store(first, uid, &StoreFlags::remove(Flags::FLAGGED)).await;
    }
    apart.meet().await;
    apart.both_show(inbox, &["one", "two"]).await;
}

/// Until the other node's clock is past what this one's shows now.
async fn clock_moves(apart: &Apart, node: i16) {
    let now = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
    let here = apart.count(node, now).await;
    while apart.count(3 - node, now).await <= here {}
}

/// dbmail's STORE deletes a keyword and inserts it again, in one transaction. Taken for a change, each such STORE on one node would bring
/// back what was removed on the other, and clients that store the same word again and again would make it flap.
#[tokio::test]
async fn a_keyword_that_is_deleted_and_inserted_at_once_has_not_changed() {
    let mut apart = Apart::new("flap").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    for uid in [one, two] {
        apart.store(1, uid, &StoreFlags::add(Flags::NONE).keywords(&["word"])).await;
    }
    apart.mesh.converge().await;
    let stamps = "select sum(stamp)::bigint from dbmail_mesh.keyword_register where keyword = 'word' and present";
    let before = apart.count(1, stamps).await;
    assert_eq!(apart.count(2, stamps).await, before);
    apart.store(2, one, &StoreFlags::remove(Flags::NONE).keywords(&["word"])).await;
    for uid in [one, two] {
        apart.store(1, uid, &StoreFlags::add(Flags::NONE).keywords(&["word"])).await;
        apart.store(1, uid, &StoreFlags::replace(Flags::NONE).keywords(&["word"])).await;
    }
    assert_eq!(apart.count(1, stamps).await, before, "nothing has changed, and is not stamped");
    apart.meet().await;
    apart.both_show(inbox, &["one", "two word"]).await;
}

/// \Recent belongs to the sessions of a node: a SELECT here leaves it there, and is no change.
#[tokio::test]
async fn recent_stays_where_it_is() {
    let mut apart = Apart::new("recent").await;
    let inbox = apart.inbox;
    // That its mailbox's HIGHESTMODSEQ went up is noted by itself.
    let noted = "select coalesce(max(id), 0) from dbmail_mesh.outbox where kind <> 's'";
    let before = apart.count(1, noted).await;
    let view = apart.session(1).select(inbox).await.unwrap();
    assert!(view.messages.iter().all(|message| message.recent));
    assert_eq!(apart.count(1, noted).await, before);
    apart.meet().await;
    let recent = "select count(*) from dbmail_messages where recent_flag = 1 and status < 2";
    assert_eq!((apart.count(1, recent).await, apart.count(2, recent).await), (0, 2));
}

/// A session that has not noticed that a message was renumbered goes on with the old UID: dbmail says OK, and nothing changes anywhere.
#[tokio::test]
async fn a_store_to_a_uid_that_has_gone_changes_nothing() {
    let mut apart = Apart::new("stale").await;
    let inbox = apart.inbox;
    let old = apart.deliver(1, inbox, "on a").await;
    apart.deliver(2, inbox, "on b").await;
    apart.deliver(2, inbox, "on b too").await;
    apart.mesh.converge().await;
    let new = apart.uid(1, "on a").await;
    assert!(new > old, "it was to be renumbered");
    for node in [1, 2] {
        let change = StoreFlags::add(Flags::FLAGGED).keywords(&["word"]);
        assert_eq!(apart.session(node).store(inbox, &[old], &change).await.unwrap(), 0);
        let change = StoreFlags::replace(Flags::DELETED);
        assert_eq!(apart.session(node).store(inbox, &[old], &change).await.unwrap(), 0);
    }
    apart.meet().await;
    apart.both_show(inbox, &["on a", "on b", "on b too", "one", "two"]).await;
}
