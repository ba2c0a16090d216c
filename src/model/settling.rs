//! A node's part in a settlement. The numbers are reserved first; [`Node::view`] and [`Node::write`] are called under the lock of the
//! mailbox's line, and between them no login, no delivery and no link is let in that needs that lock.

use std::collections::{BTreeMap, BTreeSet};

use super::node::Node;
use crate::domain::ids::{BirthUid, MailboxId, Uid};
use crate::domain::reported::Time;
use crate::domain::rule::{Action, Held};
use crate::domain::settlement::{NodeView, Plan};

/// The mailbox in which the row of each message was when it was looked at; none: no client is shown it.
pub type Rows = BTreeMap<BirthUid, Option<MailboxId>>;

/// A message was moved or removed by dbmail between the look and the write: nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved(pub BirthUid);

/// What a settlement wrote on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Visible messages that got another number.
    pub renumbered: usize,
    /// Hidden messages that became visible.
    pub shown: usize,
    /// Messages that died.
    pub killed: usize,
}

impl Node {
    /// The late messages of a mailbox, each with the time since when.
    pub fn late(&self, mailbox: MailboxId) -> impl Iterator<Item = (BirthUid, Time)> + '_ {
        let late = self.mailboxes.get(&mailbox).map(|mailbox| &mailbox.late);
        late.into_iter().flatten().map(|(&birth, &since)| (birth, since))
    }

    /// A look at a mailbox: its lines and what is here of the messages in question. One that is in another mailbox is not current.
    pub fn view(&self, mailbox: MailboxId, candidates: &BTreeSet<BirthUid>, now: Time) -> (NodeView, Rows) {
        let found = || candidates.iter().filter_map(|birth| Some((*birth, self.messages.get(birth)?)));
        let messages = found()
            .filter(|(_, stored)| stored.held == Held::Dead || stored.place.value == mailbox)
            .map(|(birth, stored)| (birth, stored.held))
            .collect();
        let reported = self.mailboxes.get(&mailbox).map(|mailbox| mailbox.reported(now)).unwrap_or_default();
        let view = NodeView { node: self.id, reported, high: self.high(mailbox), messages };
        (view, found().map(|(birth, stored)| (birth, stored.row_mailbox)).collect())
    }

    /// Sets new numbers aside, all above `above`; committed before any of them is written anywhere (`dbmail_mesh.reserve`).
    pub fn reserve(&mut self, count: usize, above: Uid) -> BTreeSet<Uid> {
        let numbers: BTreeSet<Uid> = (0..count).map(|_| self.draw(above)).collect();
        self.reservations.extend(&numbers);
        numbers
    }

    /// The numbers that messages were given, as far as this node knows.
    pub fn numbers_of(&self, births: &BTreeSet<BirthUid>) -> BTreeMap<BirthUid, BTreeSet<Uid>> {
        births.iter().filter_map(|birth| Some((*birth, self.messages.get(birth)?.numbers.clone()))).collect()
    }

    /// A settlement tells each node that takes part what the others know of the numbers that its messages were given.
    pub fn learn(&mut self, numbers: &BTreeMap<BirthUid, BTreeSet<Uid>>) {
        for (birth, numbers) in numbers {
            if let Some(stored) = self.messages.get_mut(birth) {
                stored.numbers.extend(numbers);
            }
        }
    }

    /// Writes this node's part of a plan, and notes it as a change of its own, so that whoever takes no part hears of it.
    ///
    /// # Errors
    /// [`Moved`]: dbmail has moved a row since `rows` was read.
    pub fn write(&mut self, mailbox: MailboxId, plan: &Plan, rows: &Rows, now: Time) -> Result<Written, Moved> {
        let mut written = Written::default();
        let actions = plan.actions.get(&self.id).into_iter().flatten();
        if let Some((&birth, _)) = actions.clone().find(|(birth, action)| self.has_moved(**birth, **action, rows)) {
            return Err(Moved(birth));
        }
        for (&birth, &action) in actions {
            // The line rises with whatever the plan shows, whether its row is still alive or not.
            if let Action::Move { to, .. } = action {
                self.show(mailbox, to, now);
            }
            let Some(mut stored) = self.messages.get(&birth).cloned() else { continue };
            stored.numbers.extend(plan.numbers.get(&birth));
            // What was expunged a moment ago stays dead.
            if stored.held != Held::Dead {
                match (stored.held, action) {
                    (_, Action::Kill { .. }) => written.killed += 1,
                    (Held::Hidden { .. }, _) => written.shown += 1,
                    _ => written.renumbered += 1,
                }
                // As the row says: the mailbox that is settled, whatever has been said of the message meanwhile.
                if let Action::Move { .. } = action {
                    stored.place.value = mailbox;
                }
                self.carry_out(birth, &mut stored, action, now);
            }
            self.put(birth, stored, now);
            self.note(birth, None);
        }
        Ok(written)
    }

    /// Whether the row of an action is elsewhere than it was (`dbmail_mesh.lock_planned_rows`).
    fn has_moved(&self, birth: BirthUid, action: Action, rows: &Rows) -> bool {
        let Some(stored) = self.messages.get(&birth).filter(|stored| stored.held != Held::Dead) else { return false };
        action.row() != stored.held.row() || rows.get(&birth).is_some_and(|seen| *seen != stored.row_mailbox)
    }
}
