//! Links: a worker beside the target is rung, asks the source, and applies what comes.

use std::collections::BTreeSet;

use super::network::At;
use super::queue::Micros;
use super::world::{Event, LOOK_AGAIN, World};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::rule::FIRST_HIDDEN_ROW;
use crate::model::{Cursor, Node, State};

/// A batch that comes a second time does so after this time, on average.
const REPEATED_AFTER: Micros = Micros::from_ms(20_000);

/// A link, by source and target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkId {
    pub(super) source: At,
    pub(super) target: At,
}

/// What a link is doing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    /// A batch is under way.
    pub(super) busy: bool,
    /// It was rung meanwhile.
    again: bool,
    /// Counts what broke off.
    epoch: u32,
    /// Messages brought.
    pub(super) brought: i64,
}

/// States on their way.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    link: LinkId,
    states: Vec<State>,
    /// Where the cursor is to stand; `None`: the batch was applied before.
    next: Option<Cursor>,
    epoch: u32,
}

impl World<'_> {
    pub(super) fn link(&mut self, link: LinkId) -> &mut Link {
        let nodes = self.sites.len();
        &mut self.links[link.target * nodes + link.source]
    }

    /// Whether the worker of the target can do its work.
    fn is_usable(&self, link: LinkId) -> bool {
        let target = &self.sites[link.target];
        target.up && target.has_worker && self.reaches(link.target, link.source)
    }

    /// Something has changed on a node.
    pub(super) fn ring(&mut self, source: At) {
        for target in 0..self.sites.len() {
            self.ring_link(LinkId { source, target });
        }
    }

    /// The bell, and the question that it leads to.
    pub(super) fn ring_link(&mut self, link: LinkId) {
        if link.source == link.target || !self.is_usable(link) {
            return;
        }
        let state = self.link(link);
        if state.busy {
            state.again = true;
            return;
        }
        state.busy = true;
        let epoch = state.epoch;
        let wait = self.network.round_trip(link.source, link.target);
        self.put_in(wait, Event::Read(link, epoch));
    }

    /// All links that may have missed the bell.
    pub(super) fn ring_all(&mut self) {
        for source in 0..self.sites.len() {
            self.ring(source);
        }
    }

    /// What the worker of a target was about is lost.
    pub(super) fn break_off_links_into(&mut self, target: At) {
        for source in 0..self.sites.len() {
            let link = self.link(LinkId { source, target });
            *link = Link { epoch: link.epoch + 1, brought: link.brought, ..Link::default() };
        }
    }

    pub(super) fn read(&mut self, id: LinkId, epoch: u32) {
        if self.link(id).epoch != epoch {
            return;
        }
        if !self.is_usable(id) {
            // Whoever mends it rings.
            self.link(id).busy = false;
            return;
        }
        self.link(id).again = false;
        let relayed_for = self.unheard(id.target);
        let (source, target) = (&self.sites[id.source].node, &self.sites[id.target].node);
        let cursor = target.cursors.get(&source.id).copied().unwrap_or_default();
        let (births, next) = source.changes(cursor, &relayed_for);
        if births.is_empty() {
            let source = source.id;
            self.sites[id.target].node.cursors.insert(source, next);
            self.link(id).busy = false;
            return;
        }
        let states = births.into_iter().filter_map(|birth| source.state(birth)).collect();
        let wait = self.network.one_way(id.source, id.target);
        self.put_in(wait, Event::Apply(Box::new(Batch { link: id, states, next: Some(next), epoch })));
    }

    /// The nodes that a target cannot hear itself.
    fn unheard(&self, target: At) -> BTreeSet<NodeId> {
        let unheard = |source: &At| !self.reaches(target, *source);
        (0..self.sites.len()).filter(unheard).map(|source| self.sites[source].node.id).collect()
    }

    pub(super) fn apply(&mut self, batch: Box<Batch>) {
        let id = batch.link;
        let is_repeated = batch.next.is_none();
        if !is_repeated && self.link(id).epoch != batch.epoch || !self.sites[id.target].up {
            return;
        }
        let mailboxes: BTreeSet<MailboxId> = batch.states.iter().map(|state| state.place.value).collect();
        if mailboxes.iter().any(|mailbox| self.is_locked(id.target, *mailbox)) {
            self.put_in(LOOK_AGAIN, Event::Apply(batch));
            return;
        }
        let changes = self.join(id, &batch.states);
        if changes {
            self.relay(id);
        }
        let Some(next) = batch.next else { return };
        let source = self.sites[id.source].node.id;
        self.sites[id.target].node.cursors.insert(source, next);
        self.link(id).brought += batch.states.len() as i64;
        let goes_on = self.link(id).again && self.is_usable(id);
        self.link(id).busy = goes_on;
        if goes_on {
            let wait = self.network.one_way(id.target, id.source);
            self.put_in(wait, Event::Read(id, batch.epoch));
        }
        if self.chance.happens(self.options.faults) {
            let wait = self.chance.wait(REPEATED_AFTER);
            self.put_in(wait, Event::Apply(Box::new(Batch { next: None, ..*batch })));
        }
    }

    /// Joins states into the target; returns whether that changed anything.
    fn join(&mut self, link: LinkId, states: &[State]) -> bool {
        let (source, clock) = (self.sites[link.source].node.id, self.clock());
        let before: Vec<Option<Uid>> =
            states.iter().map(|state| shown_as(&self.sites[link.target].node, state.incoming.birth)).collect();
        let noted = self.sites[link.target].node.outbox.len();
        self.join_into(link.target, source, states, clock);
        for (state, before) in states.iter().zip(before) {
            self.note_state(link.target, state.incoming.birth, before);
        }
        let changes = self.sites[link.target].node.outbox.len() > noted;
        if changes {
            self.ledger.changed_at = self.now;
        }
        changes
    }

    #[cfg(not(test))]
    fn join_into(&mut self, target: At, source: NodeId, states: &[State], clock: crate::domain::reported::Time) {
        self.sites[target].node.join(source, states, clock);
    }

    #[cfg(test)]
    fn join_into(&mut self, target: At, source: NodeId, states: &[State], clock: crate::domain::reported::Time) {
        match self.mutant {
            Some(mutant) => mutant.join(&mut self.sites[target].node, source, states, clock),
            None => drop(self.sites[target].node.join(source, states, clock)),
        }
    }

    /// What has become of a message on a node where it was shown as `before`.
    pub(super) fn note_state(&mut self, at: At, birth: BirthUid, before: Option<Uid>) {
        let node = &self.sites[at].node;
        let Some(stored) = node.messages.get(&birth) else { return };
        let mailbox = stored.place.value;
        let is_late = node.mailboxes.get(&mailbox).is_some_and(|mailbox| mailbox.late.contains_key(&birth));
        let after = shown_as(node, birth);
        if is_late {
            self.ledger.late(birth);
            self.is_late(at, mailbox);
        }
        if let Some(uid) = after.filter(|_| after != before) {
            self.note_shown(at, mailbox, uid, birth);
        }
    }

    /// A node shows a message that it did not show before, or not under that UID.
    pub(super) fn note_shown(&mut self, at: At, mailbox: MailboxId, uid: Uid, birth: BirthUid) {
        let read = self.sites[at].read.get(&mailbox).copied().unwrap_or_default();
        self.ledger.appeared(at, uid, birth, read, self.now);
    }

    /// Those who cannot hear the source hear it from here.
    fn relay(&mut self, link: LinkId) {
        for target in 0..self.sites.len() {
            if target != link.target && !self.reaches(target, link.source) {
                self.ring_link(LinkId { source: link.target, target });
            }
        }
    }
}

/// The UID under which clients are shown a message.
pub(super) fn shown_as(node: &Node, birth: BirthUid) -> Option<Uid> {
    let row = node.messages.get(&birth)?.held.row()?;
    (row.0 < FIRST_HIDDEN_ROW).then_some(Uid(row.0))
}
