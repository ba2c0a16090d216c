//! The worker's functions with one mistake each: the small world has to find it.

use std::collections::BTreeSet;

use dbmail_mesh::domain::ids::{BirthUid, MailboxId, Uid};
use dbmail_mesh::domain::reported::Time;
use dbmail_mesh::domain::rule::{Action, Held, Incoming, Place, RowId, decide};
use dbmail_mesh::domain::settlement::{self, NodeView, NumbersTooLow, Plan};
use dbmail_mesh::model::{Decision, Node, Rows, State};

use super::explore::explore;
use super::law::{Law, Production};
use super::world::{Bounds, Kind, SMALL};

use Kind::{Deliver, Expunge, Login, Lose, Move, Share};

/// What arrives is shown below what clients were told of.
struct ShownBelowTheLine;

impl Law for ShownBelowTheLine {
    fn decide(&self, node: &Node, state: &State, _now: Time) -> Decision {
        node.decide(state, |_| Uid(0))
    }
}

/// What arrives is shown at the line itself.
struct ShownAtTheLine;

impl Law for ShownAtTheLine {
    fn decide(&self, node: &Node, state: &State, now: Time) -> Decision {
        node.decide(state, |mailbox| Uid((self.reported(node, mailbox, now).0 - 1).max(0)))
    }
}

/// Clients may have been told of nothing, whoever reads.
struct NobodyReads;

impl Law for NobodyReads {
    fn reported(&self, _node: &Node, _mailbox: MailboxId, _now: Time) -> Uid {
        Uid(0)
    }
}

/// A settlement does not hold the lines.
struct NoLock;

impl Law for NoLock {
    fn locks(&self) -> bool {
        false
    }
}

/// Who logs in does not wait for a line that is held.
struct LoginDoesNotWait;

impl Law for LoginDoesNotWait {
    fn login_waits(&self) -> bool {
        false
    }
}

/// A message that is dead is forgotten.
struct Forgets;

impl Law for Forgets {
    fn joined(&self, node: &mut Node, birth: BirthUid) {
        if node.messages.get(&birth).is_some_and(|stored| stored.held == Held::Dead) {
            node.remove(birth);
        }
    }

    fn is_news(&self, node: &Node, state: &State) -> bool {
        let forgotten = state.incoming.dead && !node.messages.contains_key(&state.incoming.birth);
        !forgotten && Production.is_news(node, state)
    }
}

/// Death is not final: a state of the living revives what is dead.
struct Revives;

impl Law for Revives {
    fn decide(&self, node: &Node, state: &State, now: Time) -> Decision {
        let birth = state.incoming.birth;
        let mut other = node.clone();
        if other.messages.get(&birth).is_some_and(|stored| stored.held == Held::Dead) {
            other.remove(birth);
        }
        Production.decide(&other, state, now)
    }

    fn is_news(&self, node: &Node, state: &State) -> bool {
        let dead = node.messages.get(&state.incoming.birth).is_some_and(|stored| stored.held == Held::Dead);
        dead && !state.incoming.dead || Production.is_news(node, state)
    }
}

/// Of two UIDs of a message, the one that comes last wins, not the higher.
struct LastUid;

impl Law for LastUid {
    fn decide(&self, node: &Node, state: &State, now: Time) -> Decision {
        let decision = Production.decide(node, state, now);
        let held = node.messages.get(&state.incoming.birth).map(|stored| stored.held);
        let Some(Held::Visible { uid }) = held.filter(|_| !state.incoming.dead) else { return decision };
        if state.incoming.uid >= uid {
            return decision;
        }
        let row = RowId(uid.0);
        let place = Place { reported: Some(self.reported(node, decision.place.value, now)), changes: false };
        let action = match decide(None, &Incoming { ..state.incoming }, place) {
            Some(Action::Take { uid: to }) => Action::Move { row, from: uid, to },
            _ => Action::Wait { row, uid: state.incoming.uid },
        };
        Decision { action: Some(action), ..decision }
    }

    fn is_news(&self, node: &Node, state: &State) -> bool {
        let held = node.state(state.incoming.birth);
        Production.is_news(node, state)
            || held.is_some_and(|held| !held.incoming.dead && held.incoming.uid != state.incoming.uid)
    }
}

/// Numbers are used before they are reserved: what breaks off, or a delivery meanwhile, uses them again.
struct NotReserved;

impl Law for NotReserved {
    fn reserve(&self, node: &mut Node, count: usize, above: Uid) -> BTreeSet<Uid> {
        let sequence = node.sequence;
        let numbers = node.reserve(count, above);
        node.sequence = sequence;
        numbers
    }
}

/// What a settlement writes is taken for something that came over a link: nobody is told.
struct SettlementsAreEchoes;

impl Law for SettlementsAreEchoes {
    fn captures_settlements(&self) -> bool {
        false
    }
}

/// A message that a node has not received yet is settled without it.
struct SettlesWhatIsMissing;

impl Law for SettlesWhatIsMissing {
    fn view(&self, node: &Node, mailbox: MailboxId, candidates: &BTreeSet<BirthUid>, now: Time) -> (NodeView, Rows) {
        let (mut view, rows) = Production.view(node, mailbox, candidates, now);
        for birth in candidates.iter().filter(|birth| !node.messages.contains_key(birth)) {
            view.messages.insert(*birth, Held::Hidden { uid: birth.uid(), row: RowId(i64::MAX) });
        }
        (view, rows)
    }
}

/// The numbers of a settlement are used whether a line has passed them or not.
struct NumbersTooOld;

impl Law for NumbersTooOld {
    fn plan(
        &self,
        views: &[NodeView],
        candidates: &BTreeSet<BirthUid>,
        reserved: &BTreeSet<Uid>,
    ) -> Result<Plan, NumbersTooLow> {
        let low = |view: &NodeView| NodeView {
            high: Uid(0),
            reported: view.reported.min(Uid(reserved.first().map_or(0, |first| first.0 - 1))),
            ..view.clone()
        };
        settlement::plan(&views.iter().map(low).collect::<Vec<_>>(), candidates, reserved)
    }
}

/// Each node that takes part gives its own number.
struct NumbersOfItsOwn;

impl Law for NumbersOfItsOwn {
    fn plan(
        &self,
        views: &[NodeView],
        candidates: &BTreeSet<BirthUid>,
        reserved: &BTreeSet<Uid>,
    ) -> Result<Plan, NumbersTooLow> {
        let mut plan = settlement::plan(views, candidates, reserved)?;
        let new: BTreeSet<Uid> = plan.numbers.values().copied().collect();
        for (node, actions) in &mut plan.actions {
            for action in actions.values_mut() {
                if let Action::Move { to, .. } = action
                    && new.contains(to)
                {
                    to.0 += i64::from(node.0) - 1;
                }
            }
        }
        Ok(plan)
    }
}

/// Nothing is passed on.
struct NoRelay;

impl Law for NoRelay {
    fn relays(&self) -> bool {
        false
    }
}

/// The reported line falls when a share ends.
struct LineFalls;

impl Law for LineFalls {
    fn pins(&self) -> bool {
        false
    }
}

/// The world in which a mistake shows, which no history of the product's own functions does.
fn caught(law: &dyn Law, guarantee: char, bounds: Bounds) {
    let broken = explore(law, &bounds).expect_err("a mutant keeps all guarantees");
    println!("{}", broken.history);
    assert_eq!(broken.violation.guarantee, guarantee, "{}", broken.history);
    explore(&Production, &bounds).unwrap_or_else(|broken| panic!("{}", broken.history));
}

const READ: Bounds = Bounds { operations: 2, kinds: &[Deliver], read: true, ..SMALL };

#[test]
fn a_message_below_the_line_is_shown() {
    caught(&ShownBelowTheLine, 'B', READ);
}

#[test]
fn a_message_at_the_line_is_shown() {
    caught(&ShownAtTheLine, 'B', Bounds { operations: 3, kinds: &[Deliver, Move], ..READ });
}

#[test]
fn readers_are_not_seen() {
    caught(&NobodyReads, 'B', READ);
}

#[test]
fn a_settlement_without_the_lock() {
    caught(&NoLock, 'B', Bounds { operations: 3, ..READ });
}

#[test]
fn a_login_while_a_link_decides() {
    caught(&LoginDoesNotWait, 'B', Bounds { operations: 3, kinds: &[Deliver, Login], looks: true, ..SMALL });
}

#[test]
fn a_forgotten_deletion() {
    caught(&Forgets, 'D', Bounds { nodes: 3, operations: 2, kinds: &[Deliver, Expunge], ..SMALL });
}

#[test]
fn a_deletion_that_is_not_final() {
    caught(&Revives, 'C', Bounds { nodes: 3, operations: 2, kinds: &[Deliver, Expunge], ..SMALL });
}

#[test]
fn the_last_uid_instead_of_the_highest() {
    caught(&LastUid, 'F', Bounds { crashes: 1, partial: 1, ..READ });
}

#[test]
fn numbers_that_are_used_before_they_are_reserved() {
    caught(&NotReserved, 'A', Bounds { operations: 3, crashes: 1, ..READ });
}

#[test]
fn numbers_that_a_line_has_passed() {
    caught(&NumbersTooOld, 'B', Bounds { operations: 3, ..READ });
}

#[test]
fn a_number_for_each_node() {
    caught(&NumbersOfItsOwn, 'F', READ);
}

#[test]
fn a_settlement_that_nobody_else_is_told_of() {
    caught(&SettlementsAreEchoes, 'D', Bounds { partial: 1, ..READ });
}

#[test]
fn a_settlement_of_what_one_node_has_not_received() {
    caught(&SettlesWhatIsMissing, 'F', Bounds { nodes: 3, ..READ });
}

#[test]
fn nothing_is_passed_on() {
    caught(&NoRelay, 'D', Bounds { nodes: 3, operations: 2, kinds: &[Deliver, Lose], ..SMALL });
}

#[test]
fn a_reported_line_that_falls() {
    caught(&LineFalls, 'B', Bounds { operations: 4, kinds: &[Deliver, Share], ..SMALL });
}
