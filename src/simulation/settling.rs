//! Settlements, step by step as `worker::settle` takes them: each worker looks after what is late on its own node, and settles with all
//! nodes that it reaches.

use std::collections::{BTreeMap, BTreeSet};

use super::links::shown_as;
use super::network::At;
use super::queue::Micros;
use super::world::{Event, World};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::settlement::{self, NodeView, Plan};
use crate::domain::snapshot::Snapshot;
use crate::model::Rows;
use crate::worker::pace::{Coming, LinkIn, Pace, Seen};

/// As the worker has it: the most messages settled at once.
const MESSAGES_AT_ONCE: usize = 500;
/// How often numbers are reserved anew, or locks tried.
const ATTEMPTS: u32 = 10;
/// How often a node that does not give its lock is tried before it is left out.
const LOCK_TRIES: u32 = 4;
/// So often locks are lost before the furthest node is left out.
const LOST_TRIES: u32 = 3;
/// A worker looks for what is late so often while there is something, at the most.
const BUSY_INTERVAL_MAX: Micros = Micros::from_ms(250);
const BUSY_INTERVAL_MIN: Micros = Micros::from_ms(20);
/// A node that waits for a lock looks again after so long.
const LOCK_POLL: Micros = Micros::from_ms(10);
/// Between two attempts.
const JITTER_MIN: Micros = Micros::from_ms(5);
const JITTER: Micros = Micros::from_ms(45);

/// A settlement.
pub(super) type SettlementId = u64;

/// What a settlement does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Look who takes part and what is to be settled.
    Gather,
    /// Set numbers aside above this one.
    Reserve(Uid),
    /// Take the lock of the first node.
    Mutex,
    /// Take those of the others.
    Locks,
    /// Send COMMIT to all.
    Commit,
    /// Wait until the last has it.
    Commits,
    /// It is over.
    End,
}

/// Where a settlement is made to break off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Reserved,
    Locked,
    Committed(usize),
}

/// Who takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The nodes that keep pace.
    Level,
    /// The worker's own node, which lags, and all but these.
    OwnWithout(BTreeSet<At>),
    /// All but these.
    Without(BTreeSet<At>),
}

/// A mailbox to be settled.
#[derive(Clone, Debug)]
pub(super) struct Task {
    mailbox: MailboxId,
    who: Who,
}

/// A settlement under way.
#[derive(Debug)]
pub(super) struct Settlement {
    by: At,
    mailbox: MailboxId,
    who: Who,
    step: Step,
    /// Since when it has been waiting for a lock.
    since: Micros,
    participants: Vec<At>,
    candidates: BTreeSet<BirthUid>,
    /// As seen without locks.
    in_need: usize,
    reserved: BTreeSet<Uid>,
    reservations: u32,
    attempts: u32,
    refused: BTreeMap<At, u32>,
    lost: u32,
    /// When it got the first lock.
    locked_at: Micros,
    locked: BTreeSet<At>,
    rows: BTreeMap<At, Rows>,
    plan: Plan,
    committed: usize,
    breaks: Option<Break>,
}

impl Settlement {
    /// The node without which there is nothing to settle.
    fn about(&self) -> Option<At> {
        matches!(self.who, Who::OwnWithout(_)).then_some(self.by)
    }
}

impl World<'_> {
    /// Something is late on a node: its worker is to look.
    pub(super) fn is_late(&mut self, at: At, mailbox: MailboxId) {
        self.sites[at].late.insert(mailbox);
        self.wake(at);
    }

    /// The worker looks soon, if it is not about to anyway.
    pub(super) fn wake(&mut self, at: At) {
        let busy = self.busy_interval();
        let site = &mut self.sites[at];
        if site.looks || !site.has_worker || site.settling.is_some() || site.late.is_empty() {
            return;
        }
        site.looks = true;
        let worker = site.worker;
        self.put_in(busy, Event::Look(at, worker));
    }

    fn settle_after(&self) -> Micros {
        Micros::of(self.options.settle_after)
    }

    fn busy_interval(&self) -> Micros {
        Micros(self.settle_after().0 / 4).clamp(BUSY_INTERVAL_MIN, BUSY_INTERVAL_MAX)
    }

    /// A round: the mailboxes with messages that have been late for long enough, the longest waiting first.
    pub(super) fn look_for_late(&mut self, at: At, worker: u32) {
        if self.sites[at].worker != worker {
            return;
        }
        let ripe_at = self.clock().0 - self.settle_after().0;
        let site = &mut self.sites[at];
        site.looks = false;
        let node = &site.node;
        site.late.retain(|mailbox| node.late(*mailbox).next().is_some());
        let since = |mailbox: &MailboxId| node.late(*mailbox).map(|(_, since)| since.0).min();
        let mut ripe: Vec<(i64, MailboxId)> =
            site.late.iter().filter_map(|mailbox| Some((since(mailbox)?, *mailbox))).collect();
        ripe.retain(|(since, _)| *since < ripe_at);
        ripe.sort_unstable();
        site.to_settle = ripe.into_iter().rev().map(|(_, mailbox)| Task { mailbox, who: Who::Level }).collect();
        let (now, patience) = (self.instant(), self.options.patience);
        self.sites[at].paces.tidy(now, patience);
        self.settle_next(at);
    }

    /// The next mailbox of the round; after the last, the worker rests a little.
    fn settle_next(&mut self, at: At) {
        self.sites[at].settling = None;
        let Some(Task { mailbox, who }) = self.sites[at].to_settle.pop() else {
            self.wake(at);
            return;
        };
        self.count += 1;
        let id = self.count;
        let participants: Vec<At> = (0..self.sites.len()).filter(|node| self.reaches(at, *node)).collect();
        let look = self.furthest(at, &participants);
        let breaks = self.draw_break(participants.len());
        let settlement = Settlement {
            by: at,
            mailbox,
            who,
            step: Step::Gather,
            since: self.now,
            participants,
            candidates: BTreeSet::new(),
            in_need: 0,
            reserved: BTreeSet::new(),
            reservations: 0,
            attempts: 0,
            refused: BTreeMap::new(),
            lost: 0,
            locked_at: Micros::ZERO,
            locked: BTreeSet::new(),
            rows: BTreeMap::new(),
            plan: Plan::default(),
            committed: 0,
            breaks,
        };
        self.settlements.insert(id, settlement);
        self.sites[at].settling = Some(id);
        // A look at the mailbox, the messages that are ripe, what is held.
        self.put_in(look * 3, Event::Settle(id));
    }

    fn draw_break(&mut self, participants: usize) -> Option<Break> {
        let breaks = self.chance.happens(self.options.faults);
        let which = self.chance.below(participants + 2);
        breaks.then(|| match which {
            0 => Break::Reserved,
            1 => Break::Locked,
            committed => Break::Committed(committed - 1),
        })
    }

    /// How long it takes until the last of these nodes has answered.
    fn furthest(&mut self, by: At, nodes: &[At]) -> Micros {
        let trips: Vec<Micros> = nodes.iter().map(|node| self.network.round_trip(by, *node)).collect();
        trips.into_iter().max().unwrap_or_default()
    }

    /// The next step of a settlement that is still under way.
    pub(super) fn settle(&mut self, id: SettlementId) {
        let Some(mut settlement) = self.settlements.remove(&id) else { return };
        match settlement.step {
            Step::Gather => self.gather(id, &mut settlement),
            Step::Reserve(above) => self.reserve(id, &mut settlement, above),
            Step::Mutex => self.take_mutex(id, &mut settlement),
            Step::Locks => self.take_locks(id, &mut settlement),
            Step::Commit => self.send_commits(id, &mut settlement),
            Step::Commits | Step::End => {}
        }
        self.go_on(id, settlement);
    }

    /// Keeps a settlement for its next step, or goes on to the next mailbox.
    fn go_on(&mut self, id: SettlementId, mut settlement: Settlement) {
        if settlement.step == Step::End {
            self.unlock(id, &mut settlement);
            self.settle_next(settlement.by);
        } else {
            self.settlements.insert(id, settlement);
        }
    }

    fn next(&mut self, id: SettlementId, settlement: &mut Settlement, after: Micros, step: Step) {
        settlement.step = step;
        self.put_in(after, Event::Settle(id));
    }

    /// Who takes part, and what is to be settled.
    fn gather(&mut self, id: SettlementId, settlement: &mut Settlement) {
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

    fn go_to_reserve(&mut self, id: SettlementId, settlement: &mut Settlement, high: Uid) {
        let decider = settlement.participants[0];
        let wait = self.network.round_trip(settlement.by, decider);
        self.next(id, settlement, wait, Step::Reserve(high));
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

    /// On the deciding node, committed at once.
    fn reserve(&mut self, id: SettlementId, settlement: &mut Settlement, above: Uid) {
        let decider = settlement.participants[0];
        if !self.reaches(settlement.by, decider) {
            return self.break_off(settlement);
        }
        let stride = i64::from(self.options.stride.0);
        let room = if settlement.reservations == 0 { 0 } else { stride << (4 + settlement.reservations) };
        settlement.reserved = self.set_aside(decider, settlement.in_need, Uid(above.0 + room));
        if settlement.breaks == Some(Break::Reserved) {
            return self.break_off(settlement);
        }
        self.try_to_lock(id, settlement, Micros::ZERO);
    }

    fn set_aside(&mut self, decider: At, count: usize, above: Uid) -> BTreeSet<Uid> {
        #[cfg(test)]
        if let Some(mutant) = self.mutant
            && let Some(numbers) = mutant.reserve(&self.sites[decider].node, count, above)
        {
            return numbers;
        }
        self.ledger.reserved += count as u64;
        self.sites[decider].node.reserve(count, above)
    }

    fn try_to_lock(&mut self, id: SettlementId, settlement: &mut Settlement, after: Micros) {
        settlement.attempts += 1;
        if settlement.attempts > ATTEMPTS || settlement.participants.is_empty() {
            return self.break_off(settlement);
        }
        let mutex = settlement.participants[0];
        let wait = after + self.network.round_trip(settlement.by, mutex);
        settlement.since = self.now + wait;
        self.next(id, settlement, wait, Step::Mutex);
    }

    fn take_mutex(&mut self, id: SettlementId, settlement: &mut Settlement) {
        let mutex = settlement.participants[0];
        if !self.reaches(settlement.by, mutex) {
            return self.break_off(settlement);
        }
        if !self.lock(id, settlement, mutex) {
            if self.now - settlement.since >= self.lock_bound() {
                return self.refused(id, settlement, mutex);
            }
            return self.next(id, settlement, LOCK_POLL, Step::Mutex);
        }
        settlement.locked_at = self.now;
        let others = settlement.participants[1..].to_vec();
        let wait = self.furthest(settlement.by, &others);
        settlement.since = self.now + wait;
        self.next(id, settlement, wait, Step::Locks);
    }

    fn lock_bound(&self) -> Micros {
        Micros::of(self.options.lock_bound)
    }

    fn lock(&mut self, id: SettlementId, settlement: &mut Settlement, at: At) -> bool {
        let holder = *self.sites[at].locks.entry(settlement.mailbox).or_insert(id);
        if holder == id {
            settlement.locked.insert(at);
        }
        holder == id
    }

    fn unlock(&mut self, id: SettlementId, settlement: &mut Settlement) {
        for at in std::mem::take(&mut settlement.locked) {
            self.unlock_at(id, settlement.mailbox, at);
        }
    }

    fn unlock_at(&mut self, id: SettlementId, mailbox: MailboxId, at: At) {
        let locks = &mut self.sites[at].locks;
        if locks.get(&mailbox) == Some(&id) {
            locks.remove(&mailbox);
        }
    }

    /// A node did not give its lock in time.
    fn refused(&mut self, id: SettlementId, settlement: &mut Settlement, at: At) {
        self.settled.lock_refused += 1;
        self.unlock(id, settlement);
        let tries = settlement.refused.entry(at).or_default();
        *tries += 1;
        if *tries >= LOCK_TRIES {
            if settlement.about() == Some(at) {
                return self.break_off(settlement);
            }
            settlement.participants.retain(|node| *node != at);
        }
        self.try_again(id, settlement);
    }

    fn try_again(&mut self, id: SettlementId, settlement: &mut Settlement) {
        let wait = JITTER_MIN + self.chance.up_to(JITTER);
        self.try_to_lock(id, settlement, wait);
    }

    /// A server has let go of its lock while others were waited for.
    fn lost(&mut self, id: SettlementId, settlement: &mut Settlement) {
        self.unlock(id, settlement);
        settlement.lost += 1;
        if settlement.lost >= LOST_TRIES && settlement.participants.len() > 1 {
            settlement.lost = 0;
            let (by, about) = (settlement.by, settlement.about());
            let others = settlement.participants.iter().filter(|at| about != Some(**at));
            let trips: Vec<(Micros, At)> = others.map(|at| (self.network.round_trip(by, *at), *at)).collect();
            if let Some((_, furthest)) = trips.into_iter().max() {
                settlement.participants.retain(|at| *at != furthest);
            }
        }
        self.try_again(id, settlement);
    }

    fn take_locks(&mut self, id: SettlementId, settlement: &mut Settlement) {
        let others = settlement.participants[1..].to_vec();
        if others.iter().any(|at| !self.reaches(settlement.by, *at)) {
            return self.break_off(settlement);
        }
        let taken: Vec<At> = others.iter().copied().filter(|at| !self.lock(id, settlement, *at)).collect();
        if let Some(&taken) = taken.first() {
            if self.now - settlement.since >= Micros(self.lock_bound().0 / 2) {
                return self.refused(id, settlement, taken);
            }
            return self.next(id, settlement, LOCK_POLL, Step::Locks);
        }
        if settlement.participants.iter().any(|at| self.sites[*at].locks.get(&settlement.mailbox) != Some(&id)) {
            return self.break_off(settlement);
        }
        let write = self.furthest(settlement.by, &settlement.participants.clone());
        if self.now - settlement.locked_at > self.lock_bound() || write > self.lock_bound() {
            return self.lost(id, settlement);
        }
        if settlement.breaks == Some(Break::Locked) {
            return self.break_off(settlement);
        }
        self.plan(id, settlement, write);
    }

    /// Under the locks of all.
    fn plan(&mut self, id: SettlementId, settlement: &mut Settlement, write: Micros) {
        let mut views = Vec::new();
        for at in &settlement.participants {
            let (view, rows) = self.sites[*at].node.view(settlement.mailbox, &settlement.candidates, self.clock());
            views.push(view);
            settlement.rows.insert(*at, rows);
        }
        match settlement::plan(&views, &settlement.candidates, &settlement.reserved) {
            Ok(plan) => {
                settlement.plan = plan;
                self.next(id, settlement, write, Step::Commit);
            }
            Err(too_low) => {
                self.settled.numbers_passed += 1;
                self.unlock(id, settlement);
                settlement.reservations += 1;
                self.go_to_reserve(id, settlement, too_low.high);
            }
        }
    }

    fn send_commits(&mut self, id: SettlementId, settlement: &mut Settlement) {
        if settlement.plan.actions.is_empty() {
            self.settled.idle += 1;
            settlement.step = Step::End;
            return;
        }
        for at in settlement.participants.clone() {
            let wait = self.network.one_way(settlement.by, at);
            self.put_in(wait, Event::Commit(id, at));
        }
        settlement.step = Step::Commits;
        self.settled.written += 1;
    }

    /// COMMIT reaches a node: if it is still there and has kept its lock, what was planned becomes true on it.
    pub(super) fn commit(&mut self, id: SettlementId, at: At) {
        let Some(mut settlement) = self.settlements.remove(&id) else { return };
        let mailbox = settlement.mailbox;
        let holds = self.sites[at].locks.get(&mailbox) == Some(&id);
        if holds && self.reaches(settlement.by, at) {
            self.write(at, &settlement);
            settlement.committed += 1;
        }
        settlement.locked.remove(&at);
        self.unlock_at(id, mailbox, at);
        if settlement.breaks == Some(Break::Committed(settlement.committed)) {
            settlement.step = Step::End;
            self.settled.broken_off += 1;
            settlement.locked.clear();
            self.release_everywhere(id, mailbox);
            self.settle_next(settlement.by);
        } else if settlement.locked.is_empty() {
            self.sites[settlement.by].paces.settled(mailbox, &settlement.candidates);
            self.settle_next(settlement.by);
        } else {
            self.settlements.insert(id, settlement);
        }
    }

    fn write(&mut self, at: At, settlement: &Settlement) {
        let plan = &settlement.plan;
        let births: Vec<BirthUid> =
            plan.actions.get(&id_of(at)).into_iter().flat_map(|actions| actions.keys().copied()).collect();
        let before: Vec<Option<Uid>> = births.iter().map(|birth| shown_as(&self.sites[at].node, *birth)).collect();
        let clock = self.clock();
        let Some(rows) = settlement.rows.get(&at) else { return };
        if self.sites[at].node.write(settlement.mailbox, plan, rows, clock).is_err() {
            return;
        }
        self.ledger.changed_at = self.now;
        for (&birth, &uid) in &plan.numbers {
            self.ledger.renumbered(birth, uid);
        }
        for (birth, before) in births.into_iter().zip(before) {
            self.note_state(at, birth, before);
        }
        self.ring(at);
    }

    fn break_off(&mut self, settlement: &mut Settlement) {
        self.settled.broken_off += 1;
        settlement.step = Step::End;
    }

    fn release_everywhere(&mut self, id: SettlementId, mailbox: MailboxId) {
        for at in 0..self.sites.len() {
            self.unlock_at(id, mailbox, at);
        }
    }

    /// A worker dies with what it was about: the servers let go of its locks.
    pub(super) fn drop_settlement_of(&mut self, at: At) {
        let site = &mut self.sites[at];
        site.to_settle.clear();
        site.looks = false;
        site.paces = Default::default();
        let Some(id) = site.settling.take() else { return };
        if let Some(settlement) = self.settlements.remove(&id) {
            self.settled.broken_off += 1;
            self.release_everywhere(id, settlement.mailbox);
        }
    }
}

fn id_of(at: At) -> NodeId {
    NodeId(at as i16 + 1)
}
