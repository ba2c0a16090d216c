//! Settlements, step by step as `worker::settle` takes them: each worker looks after what is late on its own node, and settles with all
//! nodes that it reaches.

mod gather;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use super::network::At;
use super::queue::Micros;
use super::world::{Event, World};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::settlement::Plan;
use crate::model::Rows;

/// As the worker has it: the most messages settled at once.
const MESSAGES_AT_ONCE: usize = 500;
/// How often numbers are reserved anew, or locks tried.
const ATTEMPTS: u32 = 10;
/// How often a node that does not give its lock is tried before it is left out.
const LOCK_TRIES: u32 = 4;
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
    pub(super) fn settle_next(&mut self, at: At) {
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
