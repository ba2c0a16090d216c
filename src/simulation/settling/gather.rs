//! Who takes part in a settlement, and what is to be settled (`worker::settle::gather`).

use std::collections::{BTreeMap, BTreeSet};

use super::{MESSAGES_AT_ONCE, Settlement, SettlementId, Step, Task, Who, id_of};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::settlement::{self, NodeView};
use crate::domain::snapshot::Snapshot;
use crate::simulation::network::At;
use crate::simulation::world::World;
use crate::worker::pace::{Coming, LinkIn, Pace, Seen};

impl World<'_> {
    /// Who takes part, and what is to be settled.
    pub(super) fn gather(&mut self, id: SettlementId, settlement: &mut Settlement) {
        settlement.step = Step::End;
        settlement.participants.retain(|node| self.reaches(settlement.by, *node));
        let is_settled = match settlement.who.clone() {
            Who::Level => self.gather_level(settlement),
            Who::OwnWithout(left_out) => self.gather_own(settlement, &left_out),
            Who::Without(left_out) => {
                settlement.participants.retain(|node| !left_out.contains(node));
                let late = self.ripe(settlement);
                self.leave_out_who_lacks(settlement, late, None);
                true
            }
        };
        if !is_settled || settlement.candidates.is_empty() || settlement.participants.is_empty() {
            return;
        }
        // Without the locks nobody knows who reads: numbers enough for all that is below a high line.
        let views = self.views(settlement, &settlement.candidates);
        let views: Vec<NodeView> = views.into_iter().map(|view| NodeView { reported: view.high, ..view }).collect();
        settlement.in_need = settlement::in_need(&views, &settlement.candidates).len();
        let high = views.iter().map(|view| view.high).max().unwrap_or_default();
        self.go_to_reserve(id, settlement, high);
    }

    /// The nodes that keep pace. What is late on a node that does not, and need not be waited for, is settled by two other settlements.
    fn gather_level(&mut self, settlement: &mut Settlement) -> bool {
        let own = settlement.by;
        if self.ripe(settlement).is_empty() {
            self.sites[own].paces.forget(settlement.mailbox);
            self.settled.idle += 1;
            return false;
        }
        let paces = self.keep_pace(settlement);
        if paces.values().any(|pace| *pace == Pace::Behind) {
            return false;
        }
        let all = settlement.participants.clone();
        settlement.participants.retain(|at| paces.get(at) == Some(&Pace::Level));
        let late = self.ripe(settlement);
        let own_is_lost = self.leave_out_who_lacks(settlement, late, None);
        let is_stuck = own_is_lost || paces.get(&own) == Some(&Pace::Stuck);
        if is_stuck && self.ripe_on(own, settlement.mailbox).next().is_some() {
            let left_out: BTreeSet<At> = all.into_iter().filter(|at| !settlement.participants.contains(at)).collect();
            let mailbox = settlement.mailbox;
            let to_settle = &mut self.sites[own].to_settle;
            to_settle.push(Task { mailbox, who: Who::Without(left_out.clone()) });
            to_settle.push(Task { mailbox, who: Who::OwnWithout(left_out) });
            return false;
        }
        true
    }

    /// The worker's own node, though it lags, and with it all that it has.
    fn gather_own(&mut self, settlement: &mut Settlement, left_out: &BTreeSet<At>) -> bool {
        let own = settlement.by;
        settlement.participants.retain(|node| *node == own || !left_out.contains(node));
        let mut late = self.ripe(settlement);
        let held = self.sites[own].node.view(settlement.mailbox, &late, self.clock()).0.messages;
        late.retain(|birth| held.contains_key(birth));
        self.leave_out_who_lacks(settlement, late, Some(own));
        true
    }

    /// Messages that have been late for long enough on any node that takes part.
    fn ripe(&self, settlement: &Settlement) -> BTreeSet<BirthUid> {
        let late = settlement.participants.iter().flat_map(|at| self.ripe_on(*at, settlement.mailbox));
        late.take(MESSAGES_AT_ONCE).collect()
    }

    fn ripe_on(&self, at: At, mailbox: MailboxId) -> impl Iterator<Item = BirthUid> + '_ {
        let ripe_at = self.clock().0 - self.settle_after().0;
        let late = self.sites[at].node.late(mailbox);
        late.filter(move |(_, since)| since.0 < ripe_at).map(|(birth, _)| birth)
    }

    fn views(&self, settlement: &Settlement, births: &BTreeSet<BirthUid>) -> Vec<NodeView> {
        let view = |at: &At| self.sites[*at].node.view(settlement.mailbox, births, self.clock()).0;
        settlement.participants.iter().map(view).collect()
    }

    /// Which nodes are too far behind.
    fn keep_pace(&mut self, settlement: &Settlement) -> BTreeMap<At, Pace> {
        let mailbox = settlement.mailbox;
        let (now, patience) = (self.instant(), self.options.patience);
        let at = |at: &At| (*at, self.sites[*at].node.high(mailbox));
        let highs: BTreeMap<At, Uid> = settlement.participants.iter().map(at).collect();
        let low = highs.values().min().copied().unwrap_or_default();
        let top = |at: &At| {
            let visible = &self.sites[*at].node.mailboxes.get(&mailbox)?.visible;
            visible.last_key_value().map(|(uid, _)| *uid).filter(|uid| *uid > low)
        };
        let tops: BTreeMap<At, Uid> = settlement.participants.iter().filter_map(|at| Some((*at, top(at)?))).collect();
        let there = self.snapshots(settlement);
        let mut paces = std::mem::take(&mut self.sites[settlement.by].paces);
        let judged = highs.iter().map(|(&at, &high)| {
            let top = tops.iter().filter(|(of, _)| **of != at).map(|(_, top)| *top).max().unwrap_or_default();
            // Who is level is not asked for his links.
            let links = if top > high { self.links_into(at, settlement.by) } else { BTreeMap::new() };
            let seen = Seen { high, top, coming: Coming { there: &there, links: &links } };
            (at, paces.judge(mailbox, id_of(at), seen, now, patience))
        });
        let judged = judged.collect();
        self.sites[settlement.by].paces = paces;
        judged
    }

    /// How much there is on each node: an outbox stands for its transactions.
    fn snapshots(&self, settlement: &Settlement) -> BTreeMap<NodeId, Snapshot> {
        let snapshot = |at: &At| (id_of(*at), Snapshot::before(self.sites[*at].node.outbox.len() as u64));
        settlement.participants.iter().map(snapshot).collect()
    }

    /// The links into a node, as the worker `by` knows them: what its own are doing, and what the others have brought.
    fn links_into(&self, target: At, by: At) -> BTreeMap<NodeId, LinkIn> {
        let nodes = self.sites.len();
        let link = |source: At| {
            let link = &self.links[target * nodes + source];
            let cursor = self.sites[target].node.cursors.get(&id_of(source)).copied().unwrap_or_default();
            let here = Some(Snapshot::before(cursor.0 as u64));
            (id_of(source), LinkIn { here, brought: link.brought, at_work: link.busy && target == by })
        };
        (0..nodes).filter(|source| *source != target).map(link).collect()
    }

    /// Of what is late, what every node has that takes part; who has been without one for too long does not, but for `about`. Returns
    /// whether that is so of the worker's own node.
    fn leave_out_who_lacks(
        &mut self,
        settlement: &mut Settlement,
        mut late: BTreeSet<BirthUid>,
        about: Option<At>,
    ) -> bool {
        let (now, patience, mailbox) = (self.instant(), self.options.patience, settlement.mailbox);
        let there = self.snapshots(settlement);
        let mut paces = std::mem::take(&mut self.sites[settlement.by].paces);
        let mut own_is_lost = false;
        settlement.participants.retain(|&at| {
            let held = self.sites[at].node.view(mailbox, &late, self.clock()).0.messages;
            let lacking: BTreeSet<BirthUid> = late.iter().copied().filter(|birth| !held.contains_key(birth)).collect();
            let links = if lacking.is_empty() { BTreeMap::new() } else { self.links_into(at, settlement.by) };
            let coming = Coming { there: &there, links: &links };
            let pace = paces.judge_lacking(mailbox, id_of(at), &lacking, coming, now, patience);
            let takes_part = pace <= Pace::Behind || about == Some(at);
            own_is_lost |= !takes_part && at == settlement.by;
            takes_part
        });
        self.sites[settlement.by].paces = paces;
        let views = self.views(settlement, &late);
        late.retain(|birth| views.iter().all(|view| view.messages.contains_key(birth)));
        settlement.candidates = late;
        own_is_lost
    }
}
