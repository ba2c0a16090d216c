//! The settlement: late messages get their new UIDs, the same on every node that takes part.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::{BirthUid, NodeId, Uid};
use super::rule::{Action, Held, may_show};

/// One mailbox on one node that takes part, as seen under the lock of its line.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// The node.
    pub node: NodeId,
    /// The reported line.
    pub reported: Uid,
    /// The high line.
    pub high: Uid,
    /// What the node has of the messages in question.
    pub messages: BTreeMap<BirthUid, Held>,
}

/// What is to be written where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The new numbers, each with its message.
    pub numbers: BTreeMap<BirthUid, Uid>,
    /// What each node writes.
    pub actions: BTreeMap<NodeId, BTreeMap<BirthUid, Action>>,
}

/// Why there is no plan: a mailbox has moved on since the numbers were reserved. Reserve numbers above `high` and try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumbersTooLow {
    /// The highest high line of the nodes that take part.
    pub high: Uid,
}

/// Which of `candidates` need a new number: alive, known to every node that takes part, and not to be shown by at least one of
/// them under the UID that they have. In the order of their UIDs.
pub fn in_need(views: &[NodeView], candidates: &BTreeSet<BirthUid>) -> Vec<BirthUid> {
    let mut in_need: Vec<(Uid, BirthUid)> = candidates
        .iter()
        .filter_map(|&birth| match joined(views, birth)? {
            Joined::Alive(uid) => views.iter().any(|view| !settled(view, birth, uid)).then_some((uid, birth)),
            Joined::Dead(_) => None,
        })
        .collect();
    in_need.sort_unstable();
    in_need.into_iter().map(|(_, birth)| birth).collect()
}

/// Plans the settlement of one mailbox. `reserved` are numbers that one node has set aside (committed); there must be at least as
/// many as [`in_need`] names. Messages that a node which takes part has not received yet are left for a later settlement.
pub fn plan(
    views: &[NodeView],
    candidates: &BTreeSet<BirthUid>,
    reserved: &BTreeSet<Uid>,
) -> Result<Plan, NumbersTooLow> {
    let high = views.iter().map(|view| view.high.max(view.reported)).max().unwrap_or_default();
    let in_need = in_need(views, candidates);
    if !in_need.is_empty() && (reserved.len() < in_need.len() || reserved.first().is_some_and(|&first| first <= high)) {
        return Err(NumbersTooLow { high });
    }
    let mut plan = Plan { numbers: in_need.into_iter().zip(reserved.iter().copied()).collect(), ..Plan::default() };
    for &birth in candidates {
        let Some(joined) = joined(views, birth) else { continue };
        for view in views {
            let Some(&held) = view.messages.get(&birth) else { continue };
            let action = match joined {
                Joined::Dead(uid) => kill(held, uid),
                Joined::Alive(uid) => bring_to(held, plan.numbers.get(&birth).copied().unwrap_or(uid)),
            };
            if let Some(action) = action {
                plan.actions.entry(view.node).or_default().insert(birth, action);
            }
        }
    }
    Ok(plan)
}

#[derive(Clone, Copy)]
enum Joined {
    Alive(Uid),
    Dead(Uid),
}

/// The join over all nodes; `None` while a node has not received the message (a dead one need not be received).
fn joined(views: &[NodeView], birth: BirthUid) -> Option<Joined> {
    let held: Vec<Option<Held>> = views.iter().map(|view| view.messages.get(&birth).copied()).collect();
    let uid = held.iter().flatten().filter_map(|held| held.uid()).max().unwrap_or(birth.uid());
    if held.iter().flatten().any(|held| *held == Held::Dead) {
        return Some(Joined::Dead(uid));
    }
    held.iter().all(Option::is_some).then_some(Joined::Alive(uid))
}

/// Whether the node shows, or may show, the message under `uid`.
fn settled(view: &NodeView, birth: BirthUid, uid: Uid) -> bool {
    match view.messages.get(&birth) {
        Some(Held::Visible { uid: shown }) if *shown == uid => true,
        Some(_) => may_show(uid, view.reported),
        None => false,
    }
}

fn kill(held: Held, uid: Uid) -> Option<Action> {
    (held != Held::Dead).then(|| Action::Kill { row: held.row(), uid })
}

fn bring_to(held: Held, uid: Uid) -> Option<Action> {
    match held {
        Held::Visible { uid: shown } if shown == uid => None,
        Held::Visible { uid: from } => Some(Action::Move { row: super::rule::RowId(from.0), from, to: uid }),
        Held::Waiting { row, .. } => Some(Action::Move { row, from: Uid(row.0), to: uid }),
        Held::Hidden { uid: from, row } => Some(Action::Move { row, from, to: uid }),
        Held::Dead => None,
    }
}

/// So often locks are lost before the slowest node is left out.
const LOST_TRIES: u32 = 3;

/// How many of the slowest of `others` are left out of a settlement that has lost its locks `lost` times, because some server let go of its
/// own while others were waited for. They learn of the new UIDs as of any other change. The third time one is, for a slow moment is no
/// distance; after that half of those that are left, so that a mesh of nodes that are all too far from each other comes down to the
/// nearest ones before the settlement gives up.
pub fn too_far(others: usize, lost: u32) -> usize {
    match lost.cmp(&LOST_TRIES) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => 1.min(others),
        std::cmp::Ordering::Greater => others.div_ceil(2),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::RowId;
    use super::*;

    fn view(node: i16, high: i64, messages: &[(i64, Held)]) -> NodeView {
        NodeView {
            node: NodeId(node),
            reported: Uid(high),
            high: Uid(high),
            messages: messages.iter().map(|&(birth, held)| (BirthUid(birth), held)).collect(),
        }
    }

    fn visible(uid: i64) -> Held {
        Held::Visible { uid: Uid(uid) }
    }

    fn hidden(uid: i64) -> Held {
        Held::Hidden { uid: Uid(uid), row: RowId((1 << 48) + uid) }
    }

    fn births(births: &[i64]) -> BTreeSet<BirthUid> {
        births.iter().copied().map(BirthUid).collect()
    }

    fn uids(uids: &[i64]) -> BTreeSet<Uid> {
        uids.iter().copied().map(Uid).collect()
    }

    /// The scenario of the mailing list: A has 5 and 7, B has 6; A was shown 7, so 6 becomes 9 on both.
    #[test]
    fn nodes_that_are_all_too_far_are_left_out_before_it_gives_up() {
        let mut others = 63;
        let lost = (1..10).take_while(|lost| {
            others -= too_far(others, *lost);
            others > 0
        });
        assert_eq!(lost.count(), 8, "one fewer than are tried after the first");
        assert_eq!([too_far(4, 2), too_far(4, 3), too_far(0, 3), too_far(3, 4), too_far(0, 4)], [0, 1, 0, 2, 0]);
    }

    #[test]
    fn six_becomes_nine_on_both_nodes() {
        let a = view(1, 7, &[(6, hidden(6))]);
        let b = view(2, 7, &[(6, visible(6))]);
        let plan = plan(&[a, b], &births(&[6]), &uids(&[9])).unwrap();
        assert_eq!(plan.numbers, [(BirthUid(6), Uid(9))].into());
        let moved = |row, from| Action::Move { row: RowId(row), from: Uid(from), to: Uid(9) };
        assert_eq!(plan.actions[&NodeId(1)][&BirthUid(6)], moved((1 << 48) + 6, 6));
        assert_eq!(plan.actions[&NodeId(2)][&BirthUid(6)], moved(6, 6));
    }

    #[test]
    fn numbers_follow_the_order_of_the_old_uids() {
        let a = view(1, 8, &[(5, visible(5)), (6, hidden(6)), (4, visible(12))]);
        let b = view(2, 8, &[(5, hidden(5)), (6, visible(6)), (4, hidden(12))]);
        let plan = plan(&[a, b], &births(&[4, 5, 6]), &uids(&[13, 15, 17])).unwrap();
        // 12 is above B's line: the message needs no new number there.
        assert_eq!(plan.numbers, [(BirthUid(5), Uid(13)), (BirthUid(6), Uid(15))].into());
        assert!(matches!(plan.actions[&NodeId(2)][&BirthUid(4)], Action::Move { to: Uid(12), .. }));
    }

    #[test]
    fn a_number_that_a_line_has_passed_is_not_used() {
        let a = view(1, 7, &[(6, hidden(6))]);
        let b = view(2, 10, &[(6, visible(6))]);
        let refused = plan(&[a, b], &births(&[6]), &uids(&[9])).unwrap_err();
        assert_eq!(refused, NumbersTooLow { high: Uid(10) });
    }

    #[test]
    fn what_a_node_has_not_received_waits() {
        let a = view(1, 7, &[(6, hidden(6))]);
        let b = view(2, 6, &[(6, visible(6))]);
        let c = view(3, 4, &[]);
        assert_eq!(plan(&[a, b, c], &births(&[6]), &uids(&[9])).unwrap(), Plan::default());
    }

    #[test]
    fn the_dead_get_no_number() {
        let a = view(1, 7, &[(6, hidden(6))]);
        let b = view(2, 6, &[(6, Held::Dead)]);
        let plan = plan(&[a, b], &births(&[6]), &uids(&[9])).unwrap();
        assert!(plan.numbers.is_empty());
        assert!(matches!(plan.actions[&NodeId(1)][&BirthUid(6)], Action::Kill { row: Some(_), .. }));
    }

    /// A settlement that was torn after the first commit: the second node takes the number that is there.
    #[test]
    fn a_torn_settlement_is_finished_with_the_same_number() {
        let a = view(1, 9, &[(6, visible(9))]);
        let b = view(2, 8, &[(6, visible(6))]);
        let plan = plan(&[a, b], &births(&[6]), &uids(&[11])).unwrap();
        assert!(plan.numbers.is_empty());
        assert!(matches!(plan.actions[&NodeId(2)][&BirthUid(6)], Action::Move { to: Uid(9), .. }));
    }
}
