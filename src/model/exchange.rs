//! Links: what has changed on a node, and how another joins it into what it has.

use std::collections::BTreeSet;

use super::node::{Node, Stored};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::register::Register;
use crate::domain::reported::Time;
use crate::domain::rule::{self, Action, Held, Incoming, Place};

/// A row of the outbox: which message has changed, and on which node if that was not this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// The message.
    pub birth: BirthUid,
    /// The node from which this one has the change; `None`: it was made here.
    pub origin: Option<NodeId>,
}

/// How much of an outbox has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(pub usize);

/// The state of a message, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// Which message, with what the rule looks at.
    pub incoming: Incoming,
    /// The mailbox that it belongs into.
    pub place: Register<MailboxId>,
    /// \Seen.
    pub seen: Register<bool>,
    /// The numbers that it was given after its birth.
    pub numbers: BTreeSet<Uid>,
}

/// What is to be done with the state of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the rule says.
    pub action: Option<Action>,
    /// The mailbox that it belongs into now.
    pub place: Register<MailboxId>,
}

/// What a batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// New messages that became visible.
    pub taken: usize,
    /// Messages that got another number or another mailbox, or that were hidden and became visible.
    pub moved: usize,
    /// Messages that are late, or that wait for a still higher number.
    pub late: usize,
    /// Messages that died.
    pub killed: usize,
}

impl Joined {
    fn count(&mut self, action: Option<Action>) {
        match action {
            Some(Action::Take { .. }) => self.taken += 1,
            Some(Action::Move { .. }) => self.moved += 1,
            Some(Action::Hide { .. } | Action::Wait { .. } | Action::Stow { .. }) => self.late += 1,
            Some(Action::Kill { .. }) => self.killed += 1,
            None => {}
        }
    }
}

impl Node {
    /// The messages that have changed since `cursor`, and the cursor behind them: those that changed here, and those of `relayed_for`,
    /// which the reader cannot hear from the nodes themselves.
    pub fn changes(&self, cursor: Cursor, relayed_for: &BTreeSet<NodeId>) -> (Vec<BirthUid>, Cursor) {
        let wanted = |change: &&Change| change.origin.is_none_or(|origin| relayed_for.contains(&origin));
        let rows = self.outbox.get(cursor.0..).unwrap_or_default();
        let births: BTreeSet<BirthUid> = rows.iter().filter(wanted).map(|change| change.birth).collect();
        (births.into_iter().collect(), Cursor(self.outbox.len()))
    }

    /// The state of a message as it is now; `None` where the node has never heard of it.
    pub fn state(&self, birth: BirthUid) -> Option<State> {
        let stored = self.messages.get(&birth)?;
        Some(State {
            incoming: Incoming { birth, uid: stored.uid, dead: stored.held == Held::Dead },
            place: stored.place.clone(),
            seen: stored.seen.clone(),
            numbers: stored.numbers.clone(),
        })
    }

    /// Joins a batch of `source`, as read a moment ago or long ago, in one transaction under the lines of the mailboxes.
    pub fn join(&mut self, source: NodeId, states: &[State], now: Time) -> Joined {
        let reported = |mailbox| self.mailboxes.get(&mailbox).map(|mailbox| mailbox.reported(now)).unwrap_or_default();
        let decided: Vec<Decision> = states.iter().map(|state| self.decide(state, reported)).collect();
        let mut joined = Joined::default();
        for (state, decision) in states.iter().zip(decided) {
            joined.count(decision.action);
            self.apply(source, state, &decision, now);
        }
        self.keep_up(states.iter().map(|state| state.incoming.uid).max().unwrap_or_default());
        joined
    }

    /// What the rule says of a state that arrives, with the reported line of each mailbox.
    pub fn decide(&self, state: &State, reported: impl Fn(MailboxId) -> Uid) -> Decision {
        let found = self.messages.get(&state.incoming.birth);
        let held = found.map(|found| found.held);
        let mut place = found.map_or_else(|| state.place.clone(), |found| found.place.clone());
        if state.incoming.dead || held == Some(Held::Dead) {
            let nowhere = Place { reported: None, changes: false };
            return Decision { action: rule::decide(held, &state.incoming, nowhere), place };
        }
        let before = place.value;
        place.join(state.place.clone());
        let goes = Place { reported: Some(reported(place.value)), changes: place.value != before };
        Decision { action: rule::decide(held, &state.incoming, goes), place }
    }

    /// Writes what was decided for a state that came from `source`, and notes it as that node's if it changed anything.
    pub fn apply(&mut self, source: NodeId, state: &State, decision: &Decision, now: Time) {
        let birth = state.incoming.birth;
        let before = self.messages.get(&birth).cloned();
        let was_dead = before.as_ref().is_some_and(|before| before.held == Held::Dead);
        let mut stored = before.clone().unwrap_or_else(|| Stored {
            held: Held::Dead,
            uid: state.incoming.uid,
            row_mailbox: None,
            place: decision.place.clone(),
            seen: state.seen.clone(),
            numbers: BTreeSet::new(),
        });
        stored.numbers.extend(&state.numbers);
        if !was_dead && !state.incoming.dead {
            stored.seen.join(state.seen.clone());
            // As the statement does that writes it: by the stamps that are there by then, whatever was there at the look.
            stored.place.join(decision.place.clone());
        }
        if let Some(action) = decision.action {
            self.carry_out(birth, &mut stored, action, now);
        }
        if before.as_ref() != Some(&stored) {
            self.put(birth, stored, now);
            self.note(birth, Some(source));
        }
    }

    /// What an action makes of a message; the line follows what becomes visible in the mailbox that the message belongs into.
    pub(super) fn carry_out(&mut self, birth: BirthUid, stored: &mut Stored, action: Action, now: Time) {
        let mailbox = stored.place.value;
        match action {
            Action::Take { uid } | Action::Move { to: uid, .. } => {
                (stored.held, stored.uid, stored.row_mailbox) = (Held::Visible { uid }, uid, Some(mailbox));
                self.show(mailbox, uid, now);
            }
            Action::Hide { uid } | Action::Stow { uid, .. } => {
                let row = Self::hidden_row(birth);
                (stored.held, stored.uid, stored.row_mailbox) = (Held::Hidden { uid, row }, uid, None);
            }
            Action::Wait { row, uid } => {
                stored.uid = uid;
                stored.held =
                    if row == Self::hidden_row(birth) { Held::Hidden { uid, row } } else { Held::Waiting { uid, row } };
            }
            Action::Kill { uid, .. } => (stored.held, stored.uid, stored.row_mailbox) = (Held::Dead, uid, None),
        }
    }
}
