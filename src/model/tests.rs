use std::collections::BTreeSet;

use super::*;
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Stride, Uid};
use crate::domain::reported::Time;
use crate::domain::settlement;

const INBOX: MailboxId = MailboxId(1);
const WORK: MailboxId = MailboxId(2);
const NOW: Time = Time(1);

fn node(id: i16) -> Node {
    Node::new(NodeId(id), Stride(2), [INBOX, WORK])
}

fn send(from: &Node, to: &mut Node) -> Joined {
    let cursor = to.cursors.get(&from.id).copied().unwrap_or_default();
    let (births, next) = from.changes(cursor, &BTreeSet::new());
    let states: Vec<State> = births.into_iter().filter_map(|birth| from.state(birth)).collect();
    let joined = to.join(from.id, &states, NOW);
    to.cursors.insert(from.id, next);
    joined
}

fn uids(node: &Node, mailbox: MailboxId) -> Vec<i64> {
    node.shown(mailbox).map(|(uid, _)| uid.0).collect()
}

fn settle(nodes: &mut [&mut Node]) {
    let candidates: BTreeSet<BirthUid> =
        nodes.iter().flat_map(|node| node.late(INBOX)).map(|(birth, _)| birth).collect();
    let (views, rows): (Vec<_>, Vec<_>) = nodes.iter().map(|node| node.view(INBOX, &candidates, NOW)).unzip();
    let in_need = settlement::in_need(&views, &candidates).len();
    let high = views.iter().map(|view| view.high).max().unwrap();
    let reserved = nodes[0].reserve(in_need, high);
    let plan = settlement::plan(&views, &candidates, &reserved).unwrap();
    for (node, rows) in nodes.iter_mut().zip(rows) {
        node.write(INBOX, &plan, &rows, NOW).unwrap();
    }
}

/// The scenario of the mailing list: A has 1, 3, B has 2 (as 5, 7 and 6 there).
fn apart(reader: bool) -> (Node, Node) {
    let (mut a, mut b) = (node(1), node(2));
    if reader {
        a.login(INBOX, NOW, 10);
        b.login(INBOX, NOW, 10);
    }
    a.deliver(INBOX, NOW);
    b.deliver(INBOX, NOW);
    a.deliver(INBOX, NOW);
    (a, b)
}

#[test]
fn a_message_below_what_was_reported_is_renumbered_once_on_both() {
    let (mut a, mut b) = apart(true);
    assert_eq!(send(&b, &mut a), Joined { late: 1, ..Joined::default() });
    assert_eq!(send(&a, &mut b), Joined { late: 1, taken: 1, ..Joined::default() });
    assert_eq!((uids(&a, INBOX), uids(&b, INBOX)), (vec![1, 3], vec![2, 3]));
    settle(&mut [&mut a, &mut b]);
    assert_eq!((uids(&a, INBOX), uids(&b, INBOX)), (vec![3, 5, 7], vec![3, 5, 7]));
    // Each has noted what the settlement wrote; the other has it already.
    assert_eq!(send(&b, &mut a), Joined::default());
    assert_eq!(send(&a, &mut b), Joined::default());
}

#[test]
fn what_nobody_was_shown_keeps_its_number() {
    let (mut a, mut b) = apart(false);
    send(&b, &mut a);
    send(&a, &mut b);
    assert_eq!((uids(&a, INBOX), uids(&b, INBOX)), (vec![1, 2, 3], vec![1, 2, 3]));
}

#[test]
fn the_sequence_follows_what_comes_at_a_distance() {
    let (mut a, mut b) = (node(1), node(2));
    a.deliver(INBOX, NOW);
    send(&a, &mut b);
    assert_eq!(b.deliver(WORK, NOW), BirthUid(2), "numbers in the gaps are used");
    a.sequence = Uid(10_001);
    a.deliver(INBOX, NOW);
    send(&a, &mut b);
    assert_eq!(b.deliver(WORK, NOW), BirthUid(8_006));
}

#[test]
fn a_moved_message_keeps_its_number_where_it_can() {
    let (mut a, mut b) = (node(1), node(2));
    a.deliver(INBOX, NOW);
    a.deliver(WORK, NOW);
    a.deliver(INBOX, NOW);
    send(&a, &mut b);
    b.login(WORK, NOW, 10);
    assert_eq!(a.move_to(Uid(5), WORK, NOW), Some(Uid(5)));
    assert_eq!(a.move_to(Uid(1), WORK, NOW), Some(Uid(7)));
    send(&a, &mut b);
    assert_eq!((uids(&a, WORK), uids(&b, WORK)), (vec![3, 5, 7], vec![3, 5, 7]));
    assert!(b.expunge(Uid(5), NOW) && !b.expunge(Uid(1), NOW));
    send(&b, &mut a);
    assert_eq!(uids(&a, WORK), [3, 7]);
}

#[test]
fn a_row_that_dbmail_moves_between_look_and_write_refuses_the_plan() {
    let (mut a, mut b) = apart(true);
    send(&b, &mut a);
    let candidates: BTreeSet<BirthUid> = a.late(INBOX).map(|(birth, _)| birth).collect();
    let looks = [&a, &b].map(|node| node.view(INBOX, &candidates, NOW));
    let reserved = a.reserve(1, Uid(3));
    let plan = settlement::plan(&looks.clone().map(|(view, _)| view), &candidates, &reserved).unwrap();
    b.move_to(Uid(2), WORK, NOW);
    assert_eq!(b.write(INBOX, &plan, &looks[1].1, NOW), Err(Moved(BirthUid(2))));
    assert_eq!(uids(&b, WORK), [2]);
}

#[test]
fn a_place_that_was_written_after_the_look_is_not_overwritten() {
    let (mut a, mut b) = (node(1), node(2));
    let birth = a.deliver(INBOX, NOW);
    send(&a, &mut b);
    a.set_seen(Uid(1), true, NOW);
    let state = a.state(birth).unwrap();
    let decision = b.decide(&state, |_| Uid(0));
    b.move_to(Uid(1), WORK, NOW);
    b.apply(a.id, &state, &decision, NOW);
    assert_eq!((b.messages[&birth].place.value, b.messages[&birth].seen.value), (WORK, true));
}

#[test]
fn the_line_does_not_fall_when_a_share_ends() {
    let mut a = node(1);
    a.deliver(INBOX, NOW);
    a.set_shared(INBOX, true, NOW);
    a.set_shared(INBOX, false, NOW);
    assert_eq!(a.mailboxes[&INBOX].reported(NOW), Uid(1));
}
