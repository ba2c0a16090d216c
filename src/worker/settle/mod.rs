//! Settlement: late messages get their new UIDs, on all nodes that can be reached and are current, at once.
//!
//! 1. Which nodes take part: those that can be reached, belong to the mesh and have the mailbox. One that has not received a late
//!    message yet is waited for, up to `mesh.patience`; then it is left out and learns of the new UID as of any other change. What is late
//!    on a node that is stuck is settled with that node, and not hidden for as long as that takes.
//! 2. Reserve: new numbers of the deciding node (the lowest that takes part), above every high line, committed before anyone
//!    writes them. A settlement that breaks off burns them; they are never handed out again. In a mailbox that is delivered to all the
//!    time the lines pass them at once: there they are reserved under the locks.
//! 3. Lock the mailbox's line on each node, in the order of their numbers; the first is the mutex. Each node bounds by itself how
//!    long it waits and holds.
//! 4. Plan ([`crate::domain::settlement`]), write, commit, node by node. If it breaks off between two commits, the others get the
//!    new UIDs as an ordinary change: what a settlement writes is captured.

mod gather;
mod portion;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use futures_util::future::join_all;

use super::hub::{Hub, Node};
use super::pace::Paces;
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::rule::Held;
use crate::domain::settlement::{Plan, too_far};
use crate::error::{Error, Kind, Result};
use crate::node::participant::{self, Reserved};
use crate::telemetry::Telemetry;
use crate::telemetry::vitals::Vital;
use gather::Gathered;
use portion::Portion;
use write::{Setback, Settled};

/// The most mailboxes looked at in one round.
const MAILBOXES_AT_ONCE: i64 = 100;
/// How many times in a row a mailbox is settled in which there is more than fits at once, before the others have their turn.
const TIMES_AT_ONCE: usize = 10;
/// Between two of them, deliveries that have waited go first: for so long nothing is locked.
const BREATH: Duration = Duration::from_millis(20);
/// How often one settlement tries to lock and write; numbers that deliveries have overtaken are reserved anew, each time higher.
const ATTEMPTS: u32 = 10;
/// So often it gives way to sessions of dbmail that wait for a message which it renumbers.
const GIVES_WAY: u32 = 6;
/// How often a node that does not give its lock in time is tried before the settlement goes on without it.
const LOCK_TRIES: u32 = 4;
/// A settlement that has shown no sign of life for longer hangs on a node that neither answers nor goes away, and keeps all others waiting.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(600);
/// No settlement takes longer than this: servers bound what they do for it, so one of them does not answer any more. It is broken off like
/// any that tears, and the next look finds the node silent.
const SETTLEMENT_MAX: Duration = Duration::from_secs(30);
/// How often the late are looked for when there were some a moment ago, at the most.
const BUSY_INTERVAL_MAX: Duration = Duration::from_millis(250);
/// How often they are looked for when there were none and nobody rang.
const IDLE_INTERVAL: Duration = Duration::from_secs(2);

/// A point at which a settlement can break off. For tests: [`Settler::break_off_at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The numbers are reserved.
    Reserved,
    /// So many nodes are locked.
    Locked(usize),
    /// So many nodes are written to.
    Written(usize),
    /// So many nodes have committed.
    Committed(usize),
}

/// Settles the mailboxes of the nodes that this worker writes to.
pub struct Settler {
    hub: Arc<Hub>,
    paces: Mutex<Paces>,
    /// Nodes that did not answer, and when that was.
    silent: Mutex<BTreeMap<NodeId, Instant>>,
    portion: Portion,
    /// Mailboxes that were delivered to between the reservation of numbers and the locks, the last time.
    restless: Mutex<BTreeSet<MailboxId>>,
    /// Whether it settles only what is late on nodes where this worker is the active one. One that stands by has nothing to do: another
    /// settles there, and two would be in each other's way.
    on_duty: bool,
    break_off_at: Option<Step>,
    /// When the lines of a mailbox were let go of in which there is more to settle.
    let_go: Mutex<Option<(MailboxId, Instant)>>,
}

/// A node that takes part.
struct Participant<'a> {
    node: &'a Node,
    client: Client,
    high: Uid,
    held: BTreeMap<BirthUid, Held>,
    /// How long a look at it took.
    took: Duration,
}

/// What a settlement is about.
struct Matter {
    mailbox: MailboxId,
    candidates: BTreeSet<BirthUid>,
}

impl Settler {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            paces: Mutex::default(),
            silent: Mutex::default(),
            portion: Portion::new(),
            restless: Mutex::default(),
            on_duty: true,
            break_off_at: None,
            let_go: Mutex::default(),
        }
    }

    /// A settler for tests, outside a worker, that breaks off at a step.
    ///
    /// # Errors
    /// `Internal` when a connection pool cannot be built.
    pub fn break_off_at(options: super::Options, step: Option<Step>) -> Result<Self> {
        let hub = Hub::new(options, Arc::new(Telemetry::new()?))?;
        Ok(Self { on_duty: false, break_off_at: step, ..Self::new(Arc::new(hub)) })
    }

    /// Settles what is late, for ever.
    pub(crate) async fn run(self, vital: Vital) {
        let busy = (self.hub.mesh.settle_after / 4).clamp(Duration::from_millis(20), BUSY_INTERVAL_MAX);
        let mut at_ease = false;
        loop {
            let any = self.round_of(Some(&vital), at_ease).await;
            vital.beat();
            let notified = self.hub.late.notified();
            at_ease = false;
            if any {
                tokio::time::sleep(busy).await;
            } else {
                tokio::select! {
                    () = notified => tokio::time::sleep(busy).await,
                    () = tokio::time::sleep(IDLE_INTERVAL) => at_ease = true,
                }
            }
        }
    }

    /// One round over all mailboxes with messages that are ripe on a node of this worker. Returns whether there were any, or may
    /// be some soon.
    pub async fn round(&self) -> bool {
        self.round_of(None, false).await
    }

    /// `at_ease`: nothing was late a moment ago, and nobody has said so since: it goes by what the nodes say of themselves.
    async fn round_of(&self, vital: Option<&Vital>, at_ease: bool) -> bool {
        let mut mailboxes: BTreeSet<MailboxId> = BTreeSet::new();
        let mut waiting = false;
        let nodes: Vec<&Node> = self
            .hub
            .targets()
            .filter(|node| !self.on_duty || node.is_ours())
            .filter(|node| !(at_ease && node.outlook.has_none_late()))
            .collect();
        let ripe = nodes.iter().map(|node| tokio::time::timeout(gather::LOOK_TIMEOUT, self.ripe(node)));
        for (node, ripe) in nodes.iter().zip(join_all(ripe).await) {
            match ripe {
                Ok(Ok((ripe, unripe))) => {
                    mailboxes.extend(ripe);
                    waiting |= unripe;
                }
                Ok(Err(error)) => tracing::debug!(node = node.endpoint.name, %error, "cannot ask for late messages"),
                Err(_) => tracing::debug!(node = node.endpoint.name, "does not say what is late"),
            }
        }
        for &mailbox in &mailboxes {
            for _ in 0..TIMES_AT_ONCE {
                if let Some(vital) = vital {
                    vital.beat();
                }
                let most = self.portion.size();
                let settled = tokio::time::timeout(SETTLEMENT_MAX, self.settle(mailbox)).await;
                let silent = |_| Err(Error::new(Kind::Unreachable, "a node stopped to answer in the middle"));
                match settled.unwrap_or_else(silent) {
                    Ok(settled) if settled >= most => {}
                    Ok(_) => break,
                    Err(error) => {
                        self.portion.failed();
                        self.hub.telemetry.counters.settlement_failed(error.kind());
                        tracing::debug!(%mailbox, %error, "settlement broke off; it is tried again");
                        break;
                    }
                }
            }
        }
        self.paces().tidy(Instant::now(), self.hub.mesh.patience);
        waiting || !mailboxes.is_empty()
    }

    fn settle_after_s(&self) -> f64 {
        self.hub.mesh.settle_after.as_secs_f64()
    }

    /// Mailboxes to settle, and whether others will be ripe soon.
    async fn ripe(&self, node: &Node) -> Result<(Vec<MailboxId>, bool)> {
        let client = node.settler().await?;
        let late = participant::ripe_mailboxes(&client, 0.0, MAILBOXES_AT_ONCE).await?;
        if late.is_empty() {
            return Ok((late, false));
        }
        Ok((participant::ripe_mailboxes(&client, self.settle_after_s(), MAILBOXES_AT_ONCE).await?, true))
    }

    /// Settles one mailbox with the nodes that keep pace; with one that lags, if something is late there. Returns how many messages got a
    /// new number.
    ///
    /// # Errors
    /// `Transient`, `Unreachable`: try again later.
    pub async fn settle(&self, mailbox: MailboxId) -> Result<usize> {
        let Gathered { left_out, stranded, participants, matter } = self.gather(mailbox).await?;
        if stranded.is_empty() {
            return self.settle_among(participants, matter, None).await;
        }
        drop(participants);
        let mut settled = Ok(0);
        for node in stranded.into_iter().map(Some).chain([None]) {
            let gathered = match node {
                Some(node) => self.gather_with(mailbox, node, &left_out).await?,
                None => self.gather_without(mailbox, &left_out).await?,
            };
            let more = self.settle_among(gathered.participants, gathered.matter, node).await;
            settled = settled.and_then(|count| more.map(|more| count + more));
        }
        settled
    }

    /// Settles what was gathered. `about`: a node without which there is nothing to settle.
    async fn settle_among(
        &self,
        mut participants: Vec<Participant<'_>>,
        matter: Matter,
        about: Option<NodeId>,
    ) -> Result<usize> {
        let mailbox = matter.mailbox;
        let mut busy: BTreeMap<NodeId, u32> = BTreeMap::new();
        let (mut reserved, mut reservations, mut lost) = (None, 0, 0);
        for attempt in 0..ATTEMPTS {
            if participants.is_empty() || matter.candidates.is_empty() {
                return Ok(0);
            }
            if self.renew_sessions(&mut participants).await? {
                lost += 1;
                for _ in 0..too_far(participants.len() - 1, lost) {
                    drop_slowest(&mut participants, mailbox, about);
                }
            }
            let beside = self.beside(&participants[0]).await?;
            let numbers = match reserved.take() {
                Some(numbers) => numbers,
                None if beside.is_some() && self.is_restless(mailbox) => Reserved::nothing(),
                None => self.reserve(&participants, &matter, Uid(0), reservations).await?,
            };
            self.pass(Step::Reserved)?;
            self.take_breath(mailbox).await;
            let insists = attempt >= GIVES_WAY;
            match self.write(&mut participants, &matter, &numbers, beside.as_ref(), insists).await {
                Ok(Settled { plan, held }) => {
                    self.log(mailbox, &plan, participants.len(), held);
                    self.hub.telemetry.counters.settled(plan.numbers.len(), held);
                    self.portion.settled(plan.numbers.len(), held, self.hub.mesh.lock_bound);
                    self.paces().settled(mailbox, &matter.candidates);
                    *self.let_go.lock().unwrap_or_else(PoisonError::into_inner) = Some((mailbox, Instant::now()));
                    return Ok(plan.numbers.len());
                }
                Err(Setback::TooLow(_)) if beside.is_some() => continue,
                Err(Setback::TooLow(high)) => {
                    reservations += 1;
                    reserved = Some(self.reserve(&participants, &matter, high, reservations).await?);
                    continue;
                }
                Err(Setback::Waited(error)) => tracing::debug!(%mailbox, %error, "settlement gives way"),
                Err(Setback::Busy(node, error)) => {
                    let tries = busy.entry(node).or_default();
                    *tries += 1;
                    self.note_refusal(node);
                    tracing::debug!(%mailbox, %node, %error, "settlement does not get a lock");
                    if *tries >= LOCK_TRIES && about == Some(node) {
                        return Err(error);
                    }
                    if *tries >= LOCK_TRIES {
                        tracing::info!(%mailbox, %node, %error, "settling without a node that does not give its lock");
                        participants.retain(|participant| participant.node.endpoint.id != node);
                    }
                }
                Err(Setback::Failed(error)) => return Err(error),
            }
            // Nothing was written: the numbers are still free.
            reserved = Some(numbers);
            tokio::time::sleep(Duration::from_millis(fastrand::u64(5..50))).await;
        }
        Err(Error::new(Kind::Transient, format!("mailbox {mailbox} is too busy to settle right now")))
    }

    /// Another session with the deciding node, by which numbers can be reserved while the locks are held; not where that would take long.
    async fn beside(&self, decider: &Participant<'_>) -> Result<Option<Client>> {
        if decider.took >= self.hub.mesh.lock_bound {
            return Ok(None);
        }
        let beside = decider.node.reader().await?;
        participant::flush_commits(&beside).await?;
        Ok(Some(beside))
    }

    /// Waits until those who have waited for the lines of the mailbox have had their time. What is looked at and reserved in between counts.
    async fn take_breath(&self, mailbox: MailboxId) {
        let let_go = self.let_go.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((_, at)) = let_go.filter(|(of, _)| *of == mailbox) {
            tokio::time::sleep(BREATH.saturating_sub(at.elapsed())).await;
        }
    }

    fn is_restless(&self, mailbox: MailboxId) -> bool {
        self.restless.lock().unwrap_or_else(PoisonError::into_inner).contains(&mailbox)
    }

    fn note_restless(&self, mailbox: MailboxId, is_restless: bool) {
        let mut restless = self.restless.lock().unwrap_or_else(PoisonError::into_inner);
        if is_restless {
            restless.insert(mailbox);
        } else {
            restless.remove(&mailbox);
        }
    }

    /// New sessions for those that were lost; returns whether there were any. A server ends a session that holds a lock for too long,
    /// because others were slow to give theirs.
    async fn renew_sessions(&self, participants: &mut [Participant<'_>]) -> Result<bool> {
        let mut any = false;
        for participant in participants.iter_mut().filter(|participant| participant.client.is_closed()) {
            participant.client = participant.node.settler().await?;
            any = true;
        }
        Ok(any)
    }

    fn log(&self, mailbox: MailboxId, plan: &Plan, nodes: usize, held: Duration) {
        if !plan.actions.is_empty() {
            let held_ms = held.as_millis();
            tracing::info!(%mailbox, renumbered = plan.numbers.len(), nodes, %held_ms, "mailbox settled");
        }
    }

    fn note_refusal(&self, node: NodeId) {
        if let Ok(node) = self.hub.node(node) {
            self.hub.telemetry.counters.lock_refused(&node.endpoint.name);
        }
    }

    fn pass(&self, step: Step) -> Result<()> {
        if self.break_off_at == Some(step) {
            return Err(Error::new(Kind::Internal, format!("told to break off at {step:?}")));
        }
        Ok(())
    }
}

/// The node that is the furthest away keeps the others' servers waiting for longer than they hold a lock: it learns of the new UIDs as
/// of any other change.
fn drop_slowest(participants: &mut Vec<Participant<'_>>, mailbox: MailboxId, about: Option<NodeId>) {
    let others = participants.iter().enumerate().filter(|(_, participant)| about != Some(participant.node.endpoint.id));
    if let Some((index, _)) = others.max_by_key(|(_, participant)| participant.took) {
        let gone = participants.remove(index);
        tracing::info!(%mailbox, node = gone.node.endpoint.name, "settling without a node that is too slow");
    }
}
