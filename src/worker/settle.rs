//! Settlement: late messages get their new UIDs, on all nodes that can be reached and are current, at once.
//!
//! 1. Which nodes take part: those that can be reached, belong to the mesh and have the mailbox. One that has not received a late
//!    message yet is waited for, up to `mesh.patience`; then it is left out and learns of the new UID as of any other change.
//! 2. Reserve: new numbers of the deciding node (the lowest that takes part), above every high line, committed before anyone
//!    writes them. A settlement that breaks off burns them; they are never handed out again.
//! 3. Lock the mailbox's line on each node, in the order of their numbers; the first is the mutex. Each node bounds by itself how
//!    long it waits and holds.
//! 4. Plan ([`crate::domain::settlement`]), write, commit, node by node. If it breaks off between two commits, the others get the
//!    new UIDs as an ordinary change: what a settlement writes is captured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Transaction};

use super::hub::{Hub, Node};
use super::pace::{Pace, Paces};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::rule::Held;
use crate::domain::settlement::{self, NodeView, Plan};
use crate::error::{Error, Kind, Result};
use crate::node::participant::{self, Number, Reserved};
use crate::node::plan::PlanWriter;

/// The most messages settled at once: what can be written well within the lock bound.
const MESSAGES_AT_ONCE: i64 = 500;
/// The most mailboxes looked at in one round.
const MAILBOXES_AT_ONCE: i64 = 100;
/// How often numbers are reserved anew, each time higher, while deliveries overtake them.
const RESERVATIONS: u32 = 6;
/// How often a node that does not give its lock in time is tried before the settlement goes on without it.
const LOCK_TRIES: u32 = 4;
/// A delivery to many recipients is not waited for longer than this: a staging row that dbmail left behind would stop us for ever.
const DELIVERY_PATIENCE_S: f64 = 60.0;
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
    break_off_at: Option<Step>,
}

/// A node that takes part.
struct Participant<'a> {
    node: &'a Node,
    client: Client,
    high: Uid,
    held: BTreeMap<BirthUid, Held>,
}

/// What a settlement is about; `numbers`: those that were decided before.
struct Matter {
    mailbox: MailboxId,
    candidates: BTreeSet<BirthUid>,
    numbers: Vec<Number>,
}

/// Why a round of locks led to nothing.
enum Setback {
    /// Deliveries have passed the reserved numbers.
    TooLow(Uid),
    /// A node did not give its lock in time.
    Busy(NodeId, Error),
    /// Anything else.
    Failed(Error),
}

impl Settler {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, paces: Mutex::default(), break_off_at: None }
    }

    /// A settler for tests, outside a worker, that breaks off at a step.
    ///
    /// # Errors
    /// `Internal` when a connection pool cannot be built.
    pub fn break_off_at(options: super::Options, step: Option<Step>) -> Result<Self> {
        Ok(Self { hub: Arc::new(Hub::new(options)?), paces: Mutex::default(), break_off_at: step })
    }

    /// Settles what is late, for ever.
    pub(crate) async fn run(self) {
        let busy = (self.hub.mesh.settle_after / 4).clamp(Duration::from_millis(20), BUSY_INTERVAL_MAX);
        loop {
            let any = self.round().await;
            let notified = self.hub.late.notified();
            if any {
                tokio::time::sleep(busy).await;
            } else {
                tokio::select! {
                    () = notified => tokio::time::sleep(busy).await,
                    () = tokio::time::sleep(IDLE_INTERVAL) => {}
                }
            }
        }
    }

    /// One round over all mailboxes with messages that are ripe on a node of this worker. Returns whether there were any, or may
    /// be some soon.
    pub async fn round(&self) -> bool {
        let mut mailboxes: BTreeSet<MailboxId> = BTreeSet::new();
        let mut waiting = false;
        for node in self.hub.targets() {
            match self.ripe(node).await {
                Ok((ripe, unripe)) => {
                    mailboxes.extend(ripe);
                    waiting |= unripe;
                }
                Err(error) => tracing::debug!(node = node.endpoint.name, %error, "cannot ask for late messages"),
            }
        }
        for &mailbox in &mailboxes {
            if let Err(error) = self.settle(mailbox).await {
                tracing::debug!(%mailbox, %error, "settlement broke off; it is tried again");
            }
        }
        waiting || !mailboxes.is_empty()
    }

    fn settle_after_s(&self) -> f64 {
        self.hub.mesh.settle_after.as_secs_f64()
    }

    /// Mailboxes to settle, and whether others will be ripe soon.
    async fn ripe(&self, node: &Node) -> Result<(Vec<MailboxId>, bool)> {
        let client = node.client().await?;
        let late = participant::ripe_mailboxes(&client, 0.0, MAILBOXES_AT_ONCE).await?;
        if late.is_empty() {
            return Ok((late, false));
        }
        Ok((participant::ripe_mailboxes(&client, self.settle_after_s(), MAILBOXES_AT_ONCE).await?, true))
    }

    /// Settles one mailbox. Returns how many messages got a new number.
    ///
    /// # Errors
    /// `Transient`, `Unreachable`: try again later.
    pub async fn settle(&self, mailbox: MailboxId) -> Result<usize> {
        let (mut participants, matter) = self.gather(mailbox).await?;
        let mut floor = Uid(0);
        let mut busy: BTreeMap<NodeId, u32> = BTreeMap::new();
        for reservation in 0..RESERVATIONS {
            if participants.is_empty() || matter.candidates.is_empty() {
                return Ok(0);
            }
            let reserved = self.reserve(&participants, &matter, floor, reservation).await?;
            self.pass(Step::Reserved)?;
            match self.write(&mut participants, &matter, &reserved).await {
                Ok(plan) => {
                    self.log(mailbox, &plan, participants.len());
                    return Ok(plan.numbers.len());
                }
                Err(Setback::TooLow(high)) => floor = high,
                Err(Setback::Busy(node, error)) => {
                    let tries = busy.entry(node).or_default();
                    *tries += 1;
                    if *tries >= LOCK_TRIES {
                        tracing::info!(%mailbox, %node, %error, "settling without a node that does not give its lock");
                        participants.retain(|participant| participant.node.endpoint.id != node);
                    } else {
                        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..50))).await;
                    }
                }
                Err(Setback::Failed(error)) => return Err(error),
            }
        }
        Err(Error::new(Kind::Transient, format!("mailbox {mailbox} is too busy to settle right now")))
    }

    fn log(&self, mailbox: MailboxId, plan: &Plan, nodes: usize) {
        if !plan.actions.is_empty() {
            tracing::info!(%mailbox, renumbered = plan.numbers.len(), nodes, "mailbox settled");
        }
    }

    /// Who takes part, and what is to be settled.
    async fn gather(&self, mailbox: MailboxId) -> Result<(Vec<Participant<'_>>, Matter)> {
        let mut waited: BTreeMap<BirthUid, f64> = BTreeMap::new();
        let mut participants = Vec::new();
        let mut mesh_id: Option<String> = None;
        let own: BTreeSet<NodeId> = self.hub.targets().map(|node| node.endpoint.id).collect();
        // The nodes of this worker first: they say which mesh this is about.
        let nodes = self.hub.nodes().filter(|node| own.contains(&node.endpoint.id));
        let nodes = nodes.chain(self.hub.nodes().filter(|node| !own.contains(&node.endpoint.id)));
        for node in nodes {
            let found = match self.look(node, mailbox).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(node = node.endpoint.name, %error, "not part of a settlement");
                    continue;
                }
            };
            let Some((participant, ripe, its_mesh)) = found else { continue };
            if *mesh_id.get_or_insert_with(|| its_mesh.clone()) != its_mesh {
                continue;
            }
            for (birth, seconds) in ripe {
                let longest = waited.entry(birth).or_default();
                *longest = longest.max(seconds);
            }
            participants.push(participant);
        }
        participants.sort_by_key(|participant: &Participant<'_>| participant.node.endpoint.id);
        let candidates = if waited.is_empty() {
            self.paces().forget(mailbox);
            BTreeSet::new()
        } else if self.keep_pace(mailbox, &mut participants).await? {
            self.currency(mailbox, &mut participants, &waited).await?
        } else {
            BTreeSet::new()
        };
        let mut numbers = Vec::new();
        for participant in &participants {
            numbers.extend(participant::numbers_of(&participant.client, &candidates).await?);
        }
        Ok((participants, Matter { mailbox, candidates, numbers }))
    }

    fn paces(&self) -> std::sync::MutexGuard<'_, Paces> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves out nodes that are too far behind in the mailbox. `false`: one may catch up any moment, so wait.
    async fn keep_pace(&self, mailbox: MailboxId, participants: &mut Vec<Participant<'_>>) -> Result<bool> {
        let low = participants.iter().map(|participant| participant.high).min().unwrap_or_default();
        let mut tops: BTreeMap<NodeId, Uid> = BTreeMap::new();
        for participant in participants.iter().filter(|participant| participant.high > low) {
            if let Some(top) = participant::top_above(&participant.client, mailbox, low).await? {
                tops.insert(participant.node.endpoint.id, top);
            }
        }
        let (now, patience) = (Instant::now(), self.hub.mesh.patience);
        let mut paces = self.paces();
        let mut wait = false;
        participants.retain(|participant| {
            let id = participant.node.endpoint.id;
            let top = tops.iter().filter(|(of, _)| **of != id).map(|(_, top)| *top).max().unwrap_or_default();
            let pace = paces.judge(mailbox, id, participant.high, top, now, patience);
            wait |= pace == Pace::Behind;
            pace != Pace::Lost
        });
        Ok(!wait)
    }

    /// A look at one node without locks; `None` when it has no part in this.
    async fn look<'a>(
        &self,
        node: &'a Node,
        mailbox: MailboxId,
    ) -> Result<Option<(Participant<'a>, BTreeMap<BirthUid, f64>, String)>> {
        let client = node.client().await?;
        let glance = participant::glance(&client, mailbox).await?;
        let (Some(mesh), Some(high)) = (glance.mesh_id, glance.high) else { return Ok(None) };
        let ripe = participant::ripe_messages(&client, mailbox, self.settle_after_s(), MESSAGES_AT_ONCE).await?;
        Ok(Some((Participant { node, client, high, held: BTreeMap::new() }, ripe, mesh)))
    }

    /// Which messages can be settled now: those that every node which takes part has received and dbmail is done with. A node that
    /// has been behind for longer than the patience is left out.
    async fn currency(
        &self,
        mailbox: MailboxId,
        participants: &mut Vec<Participant<'_>>,
        waited: &BTreeMap<BirthUid, f64>,
    ) -> Result<BTreeSet<BirthUid>> {
        let mut candidates: BTreeSet<BirthUid> =
            waited.keys().copied().take(usize::try_from(MESSAGES_AT_ONCE).unwrap_or(usize::MAX)).collect();
        if candidates.is_empty() {
            return Ok(candidates);
        }
        let waited_for = |birth: &BirthUid| waited.get(birth).copied().unwrap_or_default();
        let mut postponed: BTreeSet<BirthUid> = BTreeSet::new();
        for participant in participants.iter_mut() {
            participant.held = participant::held(&participant.client, &candidates).await?;
            let delivering = participant::in_delivery(&participant.client, &candidates).await?;
            postponed.extend(delivering.into_iter().filter(|birth| waited_for(birth) < DELIVERY_PATIENCE_S));
        }
        let (now, patience) = (Instant::now(), self.hub.mesh.patience);
        let mut paces = self.paces();
        participants.retain(|participant| {
            let lacking = candidates.iter().copied().filter(|birth| !participant.held.contains_key(birth)).collect();
            let node = participant.node.endpoint.id;
            let lost = paces.judge_lacking(mailbox, node, &lacking, now, patience) == Pace::Lost;
            if lost {
                tracing::debug!(node = participant.node.endpoint.name, "too far behind to take part in a settlement");
            }
            !lost
        });
        candidates.retain(|birth| {
            !postponed.contains(birth) && participants.iter().all(|participant| participant.held.contains_key(birth))
        });
        Ok(candidates)
    }

    /// Sets numbers aside on the deciding node, above all high lines, committed.
    async fn reserve(
        &self,
        participants: &[Participant<'_>],
        matter: &Matter,
        floor: Uid,
        reservation: u32,
    ) -> Result<Reserved> {
        let views: Vec<NodeView> = participants
            .iter()
            .map(|participant| NodeView {
                node: participant.node.endpoint.id,
                reported: participant.high,
                high: participant.high,
                messages: participant.held.clone(),
            })
            .collect();
        let in_need = settlement::in_need(&views, &matter.candidates);
        let Some(decider) = participants.first().filter(|_| !in_need.is_empty()) else {
            return Ok(Reserved { uids: BTreeSet::new(), decided_by: NodeId(0), decided_at: String::new() });
        };
        // Deliveries go on meanwhile: each further try leaves them more room.
        let room = if reservation == 0 { 0 } else { i64::from(self.hub.mesh.stride.0) << (4 + reservation) };
        let high = participants.iter().map(|participant| participant.high).max().unwrap_or_default().max(floor);
        let id = decider.node.endpoint.id;
        participant::reserve(&decider.client, id, matter.mailbox, &in_need, Uid(high.0 + room)).await
    }

    /// Locks, plans, writes, commits.
    async fn write(
        &self,
        participants: &mut [Participant<'_>],
        matter: &Matter,
        reserved: &Reserved,
    ) -> Result<Plan, Setback> {
        let mut open: Vec<(NodeId, Transaction<'_>)> = Vec::new();
        let mut views: Vec<NodeView> = Vec::new();
        for participant in participants.iter_mut() {
            let id = participant.node.endpoint.id;
            let busy = |error: Error| Setback::Busy(id, error);
            let transaction = participant.client.transaction().await.map_err(|error| busy(error.into()))?;
            let view = participant::lock(&transaction, id, matter.mailbox, &matter.candidates, self.hub.lock_ms())
                .await
                .map_err(busy)?;
            views.push(view);
            open.push((id, transaction));
            self.pass(Step::Locked(open.len())).map_err(Setback::Failed)?;
        }
        let plan = settlement::plan(&views, &matter.candidates, &reserved.uids)
            .map_err(|too_low| Setback::TooLow(too_low.high))?;
        for (written, (id, transaction)) in open.iter().enumerate() {
            writer(matter, &plan, reserved, *id).write(transaction).await.map_err(Setback::Failed)?;
            self.pass(Step::Written(written + 1)).map_err(Setback::Failed)?;
        }
        for (committed, (_, transaction)) in open.into_iter().enumerate() {
            transaction.commit().await.map_err(|error| Setback::Failed(error.into()))?;
            self.pass(Step::Committed(committed + 1)).map_err(Setback::Failed)?;
        }
        Ok(plan)
    }

    fn pass(&self, step: Step) -> Result<()> {
        if self.break_off_at == Some(step) {
            return Err(Error::new(Kind::Internal, format!("told to break off at {step:?}")));
        }
        Ok(())
    }
}

/// What one node writes: the numbers that were decided before and now, so that every node knows what became of each, and its actions.
fn writer(matter: &Matter, plan: &Plan, reserved: &Reserved, node: NodeId) -> PlanWriter {
    let mut writer = PlanWriter::for_settlement();
    for number in &matter.numbers {
        writer.number(number.uid, number.birth, number.decided_by, &number.decided_at);
    }
    for (&birth, &uid) in &plan.numbers {
        writer.number(uid, birth, reserved.decided_by, &reserved.decided_at);
    }
    for (&birth, &action) in plan.actions.get(&node).into_iter().flatten() {
        writer.change(birth, matter.mailbox, action);
    }
    writer
}
