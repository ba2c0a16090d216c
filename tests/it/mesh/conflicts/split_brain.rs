//! The cases that Cyrus tests for two masters of one mailbox which part and meet again.

use dbmail_mesh::scratch::standin::{Flags, StoreFlags};

use super::apart::Apart;

/// Both sides take mail: both have all of it, and clients of both are told of what came from the other.
#[tokio::test]
async fn both_append() {
    let mut apart = Apart::new("append").await;
    let inbox = apart.inbox;
    for (node, name) in [(1, "on a"), (2, "on b"), (1, "on a too")] {
        apart.deliver(node, inbox, name).await;
    }
    apart.meet().await;
    apart.both_show(inbox, &["on a", "on a too", "on b", "one", "two"]).await;
}

/// What either expunged is gone, whether the other did so too or not.
#[tokio::test]
async fn both_expunge_the_same_message_and_others() {
    let mut apart = Apart::new("expunge").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    let three = apart.deliver(1, inbox, "three").await;
    apart.deliver(1, inbox, "four").await;
    apart.mesh.converge().await;
    for (node, uid) in [(1, one), (2, one), (1, two), (2, three)] {
        apart.expunge(node, uid).await;
    }
    apart.meet().await;
    apart.both_show(inbox, &["four"]).await;
}

/// An expunge is final, whatever is done to the message elsewhere at that time, before it or after it.
#[tokio::test]
async fn expunged_here_and_flagged_there() {
    let mut apart = Apart::new("flagged").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    apart.expunge(1, one).await;
    apart.store(2, one, &StoreFlags::add(Flags::FLAGGED).keywords(&["kept"])).await;
    apart.store(2, two, &StoreFlags::add(Flags::FLAGGED)).await;
    apart.meet().await;
    apart.both_show(inbox, &["two \\Flagged"]).await;
}

/// The same, with the nodes the other way round, and the flag before the expunge.
#[tokio::test]
async fn flagged_here_and_expunged_there() {
    let mut apart = Apart::new("flagged_before").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    apart.store(1, two, &StoreFlags::add(Flags::SEEN)).await;
    apart.store(1, one, &StoreFlags::add(Flags::FLAGGED).keywords(&["kept"])).await;
    apart.expunge(2, one).await;
    apart.meet().await;
    apart.both_show(inbox, &["two \\Seen"]).await;
}

/// An expunge takes what it knew, and nothing that came to the mailbox elsewhere.
#[tokio::test]
async fn expunged_here_and_appended_there() {
    let mut apart = Apart::new("appended").await;
    let (inbox, [one, two]) = (apart.inbox, apart.uids);
    apart.expunge(1, one).await;
    apart.deliver(2, inbox, "on b").await;
    apart.expunge(1, two).await;
    apart.deliver(2, inbox, "on b too").await;
    apart.meet().await;
    apart.both_show(inbox, &["on b", "on b too"]).await;
}

/// Both sides made a folder of one name: it is one, with the higher id, for a UIDVALIDITY only grows.
#[tokio::test]
async fn one_name_for_two_mailboxes_that_are_empty() {
    one_name("empty", &[], &[]).await;
}

/// It does not matter whose id is the higher: the mail is in the folder that is left.
#[tokio::test]
async fn one_name_for_two_mailboxes_one_of_which_is_used() {
    one_name("used_a", &["on a", "on a too"], &[]).await;
    one_name("used_b", &[], &["on b"]).await;
}

/// All mail of both is in the one that is left, and no client of it misses any.
#[tokio::test]
async fn one_name_for_two_mailboxes_that_are_both_used() {
    one_name("used", &["on a", "on a too"], &["on b", "on b too", "on b again"]).await;
}

async fn one_name(prefix: &str, on_a: &[&str], on_b: &[&str]) {
    let mut apart = Apart::new(prefix).await;
    let mut folders = Vec::new();
    for (node, mails) in [(1, on_a), (2, on_b)] {
        let folder = apart.create(node, "Same").await;
        apart.session(node).subscribe("alice", folder).await.unwrap();
        apart.read_along(node, folder).await;
        for mail in mails {
            apart.deliver(node, folder, mail).await;
        }
        folders.push(folder);
    }
    apart.meet().await;
    let left = apart.mailbox("Same").await;
    assert_eq!(left, *folders.iter().max().unwrap());
    let mut all = [on_a, on_b].concat();
    all.sort_unstable();
    apart.both_show(left, &all).await;
    // Who was subscribed to either is to the one that is left.
    let subscriptions =
        "select count(*) from dbmail_subscription s join dbmail_mailboxes m on m.mailbox_idnr = s.mailbox_id
                         where m.name = 'Same'";
    assert_eq!((apart.count(1, subscriptions).await, apart.count(2, subscriptions).await), (1, 1));
    let mailboxes = "select count(*) from dbmail_mailboxes where name like 'Same%'";
    assert_eq!((apart.count(1, mailboxes).await, apart.count(2, mailboxes).await), (1, 1));
}
