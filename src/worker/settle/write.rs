//! Reserve, lock, plan, write, commit.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use futures_util::future::{join, join_all};

use super::{Matter, Participant, Settler, Step};
use crate::domain::ids::{NodeId, Uid};
use crate::domain::settlement::{self, NodeView, Plan};
use crate::error::{Error, Kind, Result};
use crate::node::locks::LockPatience;
use crate::node::participant::{self, Number, Reserved, RowMailboxes};
use crate::node::plan::PlanWriter;

/// What a round of locks found.
struct Locked<'a> {
    open: Vec<(NodeId, Transaction<'a>)>,
    views: Vec<NodeView>,
    /// Where each node has its rows.
    rows: BTreeMap<NodeId, RowMailboxes>,
    /// The numbers that were given before, read under the locks.
    numbers: Vec<Number>,
}

/// Why a round of locks led to nothing.
pub(super) enum Setback {
    /// Deliveries have passed the reserved numbers.
    TooLow(Uid),
    /// A node did not give its lock in time.
    Busy(NodeId, Error),
    /// It took too long, or a session of dbmail waits for a message that was to be renumbered: it goes first.
    Waited(Error),
    /// Anything else.
    Failed(Error),
}

impl Settler {
    /// Sets numbers aside on the deciding node, above all high lines, committed.
    pub(super) async fn reserve(
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
    pub(super) async fn write(
        &self,
        participants: &mut [Participant<'_>],
        matter: &Matter,
        reserved: &Reserved,
        insists: bool,
    ) -> Result<Plan, Setback> {
        let locked = self.lock(participants, matter).await?;
        let plan = settlement::plan(&locked.views, &matter.candidates, &reserved.uids)
            .map_err(|too_low| Setback::TooLow(too_low.high))?;
        let mut writers: Vec<PlanWriter> =
            locked.open.iter().map(|(id, _)| writer(matter, &locked, &plan, reserved, *id)).collect();
        if insists {
            writers.iter_mut().for_each(PlanWriter::insist);
        }
        let writes = writers.iter().zip(&locked.open).map(|(writer, (_, transaction))| writer.write(transaction));
        for (written, result) in join_all(writes).await.into_iter().enumerate() {
            result
                .map_err(|error| if error.is_transient() { Setback::Waited(error) } else { Setback::Failed(error) })?;
            self.pass(Step::Written(written + 1)).map_err(Setback::Failed)?;
        }
        self.commit(locked.open.into_iter().map(|(_, transaction)| transaction).collect()).await?;
        Ok(plan)
    }

    /// Commits on all nodes at once: the longer one waits for another, the likelier it is that its server has let go.
    async fn commit(&self, transactions: Vec<Transaction<'_>>) -> Result<(), Setback> {
        if matches!(self.break_off_at, Some(Step::Committed(_))) {
            for (committed, transaction) in transactions.into_iter().enumerate() {
                transaction.commit().await.map_err(|error| Setback::Failed(error.into()))?;
                self.pass(Step::Committed(committed + 1)).map_err(Setback::Failed)?;
            }
            return Ok(());
        }
        for committed in join_all(transactions.into_iter().map(Transaction::commit)).await {
            committed.map_err(|error| Setback::Failed(error.into()))?;
        }
        Ok(())
    }

    /// Takes the mutex, then the locks of the others, all at once: the first node's server does not wait for ever for them.
    async fn lock<'a>(&self, participants: &'a mut [Participant<'_>], matter: &Matter) -> Result<Locked<'a>, Setback> {
        let hold_ms = self.hub.lock_ms();
        let mut locked = Locked { open: Vec::new(), views: Vec::new(), rows: BTreeMap::new(), numbers: Vec::new() };
        // Whatever can be said to a node before a lock is held is said before.
        let mut begun = Vec::new();
        for result in join_all(participants.iter_mut().map(begin)).await {
            begun.push(result?);
        }
        let mut begun = begun.into_iter();
        let Some((id, mutex)) = begun.next() else { return Ok(locked) };
        let first = take(id, mutex, matter, LockPatience::of(hold_ms)).await?;
        self.admit_lock(&mut locked, first)?;
        // Shorter than the first node lets a pause last, or it would let go while another is waited for.
        let patience = LockPatience { wait_ms: (hold_ms / 2).max(1), hold_ms };
        for taken in join_all(begun.map(|(id, transaction)| take(id, transaction, matter, patience))).await {
            self.admit_lock(&mut locked, taken?)?;
        }
        Ok(locked)
    }

    fn admit_lock<'a>(&self, locked: &mut Locked<'a>, taken: Taken<'a>) -> Result<(), Setback> {
        locked.numbers.extend(taken.numbers);
        locked.rows.insert(taken.id, taken.rows);
        locked.views.push(taken.view);
        locked.open.push((taken.id, taken.transaction));
        self.pass(Step::Locked(locked.open.len())).map_err(Setback::Failed)
    }
}

/// A node whose lock is held.
struct Taken<'a> {
    id: NodeId,
    transaction: Transaction<'a>,
    view: NodeView,
    rows: RowMailboxes,
    numbers: Vec<Number>,
}

/// Opens a transaction on a node. A session that is gone is no fault of the node's: it is renewed.
async fn begin<'a>(participant: &'a mut Participant<'_>) -> Result<(NodeId, Transaction<'a>), Setback> {
    let id = participant.node.endpoint.id;
    let transaction = participant.client.transaction().await.map_err(|error| Setback::Waited(error.into()))?;
    participant::prepare(&transaction).await.map_err(Setback::Waited)?;
    Ok((id, transaction))
}

/// Takes one node's lock and reads, in one flight, what it has and which numbers it knows.
async fn take<'a>(
    id: NodeId,
    transaction: Transaction<'a>,
    matter: &Matter,
    patience: LockPatience,
) -> Result<Taken<'a>, Setback> {
    let lock = participant::lock(&transaction, id, matter.mailbox, &matter.candidates, patience);
    let numbers = participant::numbers_of(&transaction, &matter.candidates);
    let (view, numbers) = join(lock, numbers).await;
    match (view, numbers) {
        (Ok((view, rows)), Ok(numbers)) => Ok(Taken { id, transaction, view, rows, numbers }),
        // Its own server, or another that had to wait for it, has ended the session: that says nothing of this node's lock.
        (Err(error), _) if error.kind() == Kind::Unreachable => Err(Setback::Waited(error)),
        (Err(error), _) | (_, Err(error)) => Err(Setback::Busy(id, error)),
    }
}

/// What one node writes: its actions, and the numbers of each message up to the one that it has in the end, so that every node knows
/// what became of each.
fn writer(matter: &Matter, locked: &Locked<'_>, plan: &Plan, reserved: &Reserved, node: NodeId) -> PlanWriter {
    let mut writer = PlanWriter::for_settlement();
    for number in &locked.numbers {
        writer.number(number.uid, number.birth, number.decided_by, &number.decided_at);
    }
    for (&birth, &uid) in &plan.numbers {
        writer.number(uid, birth, reserved.decided_by, &reserved.decided_at);
    }
    for (&birth, &action) in plan.actions.get(&node).into_iter().flatten() {
        let row_mailbox = locked.rows.get(&node).and_then(|rows| rows.get(&birth)).copied();
        writer.change(birth, matter.mailbox, row_mailbox.unwrap_or(matter.mailbox), action);
    }
    writer
}
