//! What a node does with each message that a batch brings.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::{Client, Transaction};

use super::content::Places;
use super::placing::{Destination, Verdicts};
use super::plan::{FIRST_HIDDEN_ROW, Found, PlanWriter, View};
use super::state::{MailboxState, MessageState};
use super::store::Aside;
use super::tides::{Follow, Tides};
use crate::domain::ids::{BirthUid, MailboxId, NodeId};
use crate::domain::modseq;
use crate::domain::rule::{self, Action, Held, Place, RowId};
use crate::error::Result;

/// What has come: states, and what was found out about them.
pub(super) struct Arrival<'a> {
    pub(super) source: NodeId,
    pub(super) states: &'a [MessageState],
    pub(super) mailboxes: &'a BTreeMap<MailboxId, MailboxState>,
    pub(super) look: &'a Look,
    pub(super) places: &'a Places,
    pub(super) tides: &'a Tides,
    pub(super) follow: &'a Follow,
    /// What cannot be joined, as was found before any lock was taken.
    pub(super) refused: Vec<Aside>,
}

impl Arrival<'_> {
    /// Takes the locks, and looks.
    pub(super) async fn lock(&self, transaction: &Transaction<'_>) -> Result<View> {
        let births: Vec<BirthUid> = self.states.iter().map(|state| state.incoming.birth).collect();
        let lowest = self.states.iter().map(|state| state.incoming.uid).min().unwrap_or_default();
        View::lock(transaction, &self.look.lines(self.states), &births, lowest).await
    }

    /// What is to be written for each message, and which messages have to wait for their mailbox.
    pub(super) fn decide(&self, view: &View) -> Result<(PlanWriter, Vec<(BirthUid, MailboxId)>)> {
        let mut plan = PlanWriter::for_join(self.source);
        let mut waiting: Vec<(BirthUid, MailboxId)> = Vec::new();
        for state in self.states {
            let incoming = &state.incoming;
            let found = view.messages.get(&incoming.birth);
            let held = found.map(|found| found.held);
            if incoming.dead || held == Some(Held::Dead) {
                plan.numbers(&state.numbers);
                let nowhere = Place { reported: None, changes: false };
                if let Some(action) = rule::decide(held, incoming, nowhere) {
                    let (mailbox, row_mailbox) =
                        found.map_or((state.place.value, MailboxId(0)), |found| (found.place.value, found.row_mailbox));
                    plan.change(incoming.birth, mailbox, row_mailbox, action);
                }
                continue;
            }
            let Some(goes) = self.look.verdicts.destination(&state.place, found) else {
                waiting.push((incoming.birth, state.place.value));
                continue;
            };
            plan.numbers(&state.numbers);
            let action = rule::decide(held, incoming, goes.place(view)?);
            match (found, action) {
                (None, Some(action)) => {
                    plan.join(state, goes.mailbox, action, self.places.get(&state.content).copied())?;
                }
                (None, None) => {}
                (Some(found), action) => self.update(&mut plan, state, found, &goes, action),
            }
            if goes.rescued {
                plan.rescue(incoming.birth);
            }
        }
        Ok((plan, waiting))
    }

    /// A message that is here already: its row, its marks, its mailbox, its MODSEQ.
    fn update(
        &self,
        plan: &mut PlanWriter,
        state: &MessageState,
        found: &Found,
        goes: &Destination,
        action: Option<Action>,
    ) {
        let birth = state.incoming.birth;
        let row = found.held.row();
        let row_then = match action {
            Some(Action::Move { to, .. }) => Some(RowId(to.0)),
            Some(Action::Stow { .. }) => None,
            _ => row,
        };
        if let Some(action) = action {
            plan.change(birth, goes.mailbox, found.row_mailbox, action);
        }
        if let (Some(stamp), Some(row)) = (goes.stamp, row) {
            plan.place(birth, (row, found.row_mailbox), stamp);
        }
        let (Some(row), Some(row_then)) = (row, row_then) else { return };
        let news = found.marks.news_in(&state.marks);
        if !news.is_empty() {
            plan.mark(birth, (row, found.row_mailbox), row_then, &state.marks, &news);
        }
        // What is hidden was never shown with any MODSEQ, and gets a new UID.
        if row_then.0 < FIRST_HIDDEN_ROW {
            let mailbox = if row == row_then { found.row_mailbox } else { goes.mailbox };
            let due = modseq::due((&found.marks, found.modseq), (&state.marks, state.modseq), self.source);
            plan.modseq(state, mailbox, row, row_then, due);
        }
    }
}

/// A look at the target without locks: what it knows of the messages, and what it says of their mailboxes.
pub(super) struct Look {
    pub(super) known: View,
    pub(super) verdicts: Verdicts,
}

impl Look {
    /// Not in the transaction of the batch: an INBOX that is made for what is rescued would keep dbmail waiting for the content.
    pub(super) async fn at(target: &Client, states: &[MessageState]) -> Result<Self> {
        if states.is_empty() {
            return Ok(Self { known: View::default(), verdicts: Verdicts::default() });
        }
        let births: Vec<BirthUid> = states.iter().map(|state| state.incoming.birth).collect();
        let known = View::of_messages(target, &births).await?;
        let alive = states.iter().filter(|state| !state.incoming.dead);
        let mailboxes: BTreeSet<MailboxId> = alive
            .flat_map(|state| {
                let held = known.messages.get(&state.incoming.birth).map(|found| found.place.value);
                [Some(state.place.value), held].into_iter().flatten()
            })
            .collect();
        Ok(Self { verdicts: Verdicts::ask(target, &mailboxes).await?, known })
    }

    /// The mailboxes whose lines have to be locked.
    fn lines(&self, states: &[MessageState]) -> Vec<MailboxId> {
        let lines: BTreeSet<MailboxId> = states
            .iter()
            .filter(|state| !state.incoming.dead)
            .filter_map(|state| {
                let held = self.known.messages.get(&state.incoming.birth);
                self.verdicts.destination(&state.place, held)?.line()
            })
            .collect();
        lines.into_iter().collect()
    }
}
