//! Messages that change their mailbox, are purged, or come back.

use dbmail_mesh::domain::ids::Uid;
use dbmail_mesh::scratch::standin::{Flags, StoreFlags};

use super::apart::Apart;

/// RENAME INBOX moves all rows with their UIDs in one statement, and INBOX goes on. Mail that is delivered right after it, on both nodes
/// and into both mailboxes, must get UIDs that clients of either learn of.
#[tokio::test]
async fn inbox_is_renamed_and_takes_mail_again() {
    let mut apart = Apart::new("rename_inbox").await;
    let inbox = apart.inbox;
    apart.deliver(1, inbox, "before on a").await;
    apart.deliver(2, inbox, "before on b").await;
    let old = apart.session(1).rename_inbox("alice", "Old").await.unwrap();
    apart.read_along(1, old).await;
    apart.deliver(1, inbox, "after on a").await;
    apart.deliver(1, old, "into old").await;
    apart.deliver(2, inbox, "after on b").await;
    apart.moved("before on a", "Old");
    apart.moved("one", "Old");
    apart.moved("two", "Old");
    apart.meet().await;
    apart.both_show(old, &["before on a", "into old", "one", "two"]).await;
    apart.both_show(inbox, &["after on a", "after on b", "before on b"]).await;
}

/// `dbmail-util --move` keeps the UID. In a mailbox that has shown higher ones nobody would be told of it: the message gets a new
/// UID there, on all nodes, and the old one is dead.
#[tokio::test]
async fn a_message_that_moves_below_the_line_gets_a_new_uid() {
    let mut apart = Apart::new("move").await;
    let (inbox, [one, _]) = (apart.inbox, apart.uids);
    let folder = apart.create(1, "Folder").await;
    let highest = apart.deliver(1, folder, "high").await;
    apart.mesh.converge().await;
    apart.read_along(1, folder).await;
    apart.read_along(2, folder).await;
    assert_eq!(apart.session(2).move_messages(inbox, &[one], folder).await.unwrap(), 1);
    apart.moved("one", "Folder");
    let fresh = apart.uid(2, "one").await;
    assert!(fresh > highest);
    apart.meet().await;
    apart.both_show(folder, &["high", "one"]).await;
    assert_eq!((apart.uid(1, "one").await, apart.uid(2, "one").await), (fresh, fresh));
    assert!(apart.session(1).fetch(folder, one).await.unwrap().is_none());
    let dead =
        format!("select count(*) from dbmail_mesh.resolve({one}) where state = 'renumbered' and current_uid = {fresh}");
    assert_eq!((apart.count(1, &dead).await, apart.count(2, &dead).await), (1, 1));
}

/// DELETE of a folder that has children leaves its name, which cannot be selected. What came into it on the other node would be shown to
/// nobody: it is in INBOX. What the DELETE knew is dead.
#[tokio::test]
async fn mail_for_a_folder_of_which_only_the_name_is_left_is_in_inbox() {
    let mut apart = Apart::new("name").await;
    let inbox = apart.inbox;
    let parent = apart.create(1, "Parent").await;
    let child = apart.create(1, "Parent/Child").await;
    apart.deliver(1, parent, "known").await;
    apart.deliver(1, child, "in child").await;
    apart.mesh.converge().await;
    assert!(apart.session(1).delete_mailbox(parent).await.unwrap());
    apart.deleted("Parent");
    apart.deliver(2, parent, "rescued").await;
    apart.meet().await;
    apart.both_show(inbox, &["one", "rescued", "two"]).await;
    apart.both_show(parent, &[]).await;
    apart.both_show(child, &["in child"]).await;
    let names = "select count(*) from dbmail_mailboxes where name = 'Parent' and no_select = 1";
    assert_eq!((apart.count(1, names).await, apart.count(2, names).await), (1, 1));
}

/// A message that had a new flag and a new mailbox at once came with two entries for its stamps, which one statement cannot write to one
/// row: it was set aside for ever.
#[tokio::test]
async fn a_message_that_was_flagged_and_moved_arrives() {
    let mut apart = Apart::new("flagged_moved").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    let folder = apart.create(1, "Folder").await;
    apart.store(1, one, &StoreFlags::add(Flags::FLAGGED).keywords(&["word"])).await;
    apart.store(1, two, &StoreFlags::add(Flags::NONE).keywords(&["word"])).await;
    assert_eq!(apart.session(1).move_messages(inbox, &[one, two], folder).await.unwrap(), 2);
    apart.moved("one", "Folder");
    apart.moved("two", "Folder");
    apart.meet().await;
    apart.both_show(folder, &["one \\Flagged word", "two word"]).await;
}

/// An expunged row was purged before the worker looked for it: the note leads nowhere, and the peer would keep the message for ever.
#[tokio::test]
async fn a_message_that_was_purged_before_it_was_read_is_dead_on_the_peer() {
    let mut apart = Apart::new("purged").await;
    let (inbox, [one, _]) = (apart.inbox, apart.uids);
    let late = apart.deliver(1, inbox, "born and gone").await;
    apart.expunge(1, one).await;
    apart.expunge(1, late).await;
    for _ in 0..2 {
        apart.session(1).purge().await.unwrap();
    }
    let rows = "select count(*) from dbmail_messages where unique_id in ('one', 'born and gone')";
    assert_eq!(apart.count(1, rows).await, 0, "the rows were to be purged");
    apart.meet().await;
    apart.both_show(inbox, &["two"]).await;
}

/// An admin brings an expunged row back, by its status. Its UID is dead on the other node, and stays so
/// everywhere: the message is a new one.
#[tokio::test]
async fn a_row_that_comes_back_to_life_is_a_new_message() {
    let mut apart = Apart::new("revived").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    apart.session(1).store(inbox, &[one], &StoreFlags::add(Flags::DELETED)).await.unwrap();
    apart.session(1).expunge(inbox).await.unwrap();
    apart.mesh.converge().await;
    apart.both_show(inbox, &["two"]).await;
    // With all that an admin would have to think of.
    let revive = "update dbmail_messages set status = 0, deleted_flag = 0 where unique_id = 'one';
                  update dbmail_mailboxes set seq = seq + 1 where name = 'INBOX';
                  update dbmail_users u set curmail_size = curmail_size + p.messagesize
                  from dbmail_messages g join dbmail_physmessage p on p.id = g.physmessage_id
                  where g.unique_id = 'one' and u.userid = 'alice'";
    apart.session(1).client().batch_execute(revive).await.unwrap();
    let fresh = apart.uid(1, "one").await;
    assert!(fresh > two);
    apart.meet().await;
    apart.both_show(inbox, &["one", "two"]).await;
    assert_eq!(apart.uid(2, "one").await, fresh);
    for node in [1, 2] {
        assert!(apart.session(node).fetch(inbox, one).await.unwrap().is_none());
    }
}

/// A COPY shares the content of its source, on the target as on the source, also when it comes later and from another node.
#[tokio::test]
async fn a_copy_shares_its_content_everywhere() {
    let mut apart = Apart::new("copy").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    let folder = apart.create(1, "Folder").await;
    apart.session(1).copy(one, folder).await.unwrap();
    apart.session(2).copy(one, inbox).await.unwrap();
    apart.session(2).copy(two, inbox).await.unwrap();
    apart.meet().await;
    for node in [1, 2] {
        let contents =
            "select count(distinct physmessage_id) from dbmail_messages where message_idnr < 281474976710656";
        assert_eq!(apart.count(node, contents).await, 2, "node {node}");
        assert_eq!(apart.mesh.uids(node, inbox).await.len(), 4);
    }
    assert!(one > Uid(0));
}
