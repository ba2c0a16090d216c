//! Reserve, lock, plan, write, commit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Transaction};
use futures_util::future::{join, join_all, join3, try_join, try_join_all};

use super::{Matter, Participant, Settler, Step};
use crate::domain::ids::{BirthUid, NodeId, Uid};
use crate::domain::rule::Held;
use crate::domain::settlement::{self, NodeView, Plan};
use crate::error::{Error, Kind, Result};
use crate::node::locks::LockPatience;
use crate::node::participant::{self, Number, Reserved, RowMailboxes};
use crate::node::plan::{Lines, PlanWriter};
use crate::node::renumber::Renumbering;

/// What a round of locks found.
struct Locked<'a> {
    open: Vec<(NodeId, Transaction<'a>)>,
    views: Vec<NodeView>,
    /// Where each node has its rows.
    rows: BTreeMap<NodeId, RowMailboxes>,
    /// The numbers that were given before, read under the locks.
    numbers: Vec<Number>,
    /// When the first lock was held.
    since: Instant,
}

/// What was written, and for how long locks were held for it.
pub(super) struct Settled {
    pub(super) plan: Plan,
    pub(super) held: Duration,
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
            return Ok(Reserved::nothing());
        };
        // Deliveries go on meanwhile: each further try leaves them more room.
        let room = if reservation == 0 { 0 } else { i64::from(self.hub.mesh.stride.0) << (4 + reservation) };
        let high = highest(participants).max(floor);
        let id = decider.node.endpoint.id;
        participant::flush_commits(&decider.client).await?;
        participant::reserve(&decider.client, id, matter.mailbox, &in_need, Uid(high.0 + room)).await
    }

    /// Locks, plans, writes, commits.
    pub(super) async fn write(
        &self,
        participants: &mut [Participant<'_>],
        matter: &Matter,
        reserved: &Reserved,
        beside: Option<&Client>,
        insists: bool,
    ) -> Result<Settled, Setback> {
        let seen = highest(participants);
        let near = participants.iter().all(|participant| participant.took < self.hub.mesh.lock_bound);
        let locked = self.lock(participants, matter).await?;
        self.note_restless(matter.mailbox, locked.views.iter().any(|view| view.high > seen));
        let (plan, reserved) = self.plan(&locked, matter, reserved, beside).await?;
        let numbers = numbers(&locked, &plan, &reserved);
        // In one flight with a look at who has gone ahead without the lock by now.
        let writes = locked.open.iter().map(|(id, node)| {
            let write = write_on(node, *id, matter, &locked, &plan, &numbers, insists);
            try_join(write, participant::highest_overtaking(node, matter.mailbox))
        });
        let mut overtaken_by = Uid::default();
        for (written, result) in join_all(writes).await.into_iter().enumerate() {
            let ((), highest) = result
                .map_err(|error| if error.is_transient() { Setback::Waited(error) } else { Setback::Failed(error) })?;
            overtaken_by = overtaken_by.max(highest);
            self.pass(Step::Written(written + 1)).map_err(Setback::Failed)?;
        }
        if near {
            // Once more, for some nodes were ready before others.
            let looks = locked.open.iter().map(|(_, node)| participant::highest_overtaking(node, matter.mailbox));
            let highest = try_join_all(looks).await.map_err(Setback::Waited)?;
            overtaken_by = highest.into_iter().fold(overtaken_by, Uid::max);
        }
        if plan.numbers.values().any(|uid| *uid <= overtaken_by) {
            // Clients may have been shown that number: these would have to be renumbered once more.
            return Err(Setback::TooLow(overtaken_by));
        }
        self.commit(locked.open.into_iter().map(|(_, transaction)| transaction).collect()).await?;
        Ok(Settled { plan, held: locked.since.elapsed() })
    }

    /// The plan, and the numbers that it gives out. Where deliveries have passed those that were reserved, others are by `beside`, another
    /// session with the deciding node: nothing passes them while the lines are held.
    async fn plan(
        &self,
        locked: &Locked<'_>,
        matter: &Matter,
        reserved: &Reserved,
        beside: Option<&Client>,
    ) -> Result<(Plan, Reserved), Setback> {
        let too_low = match settlement::plan(&locked.views, &matter.candidates, &reserved.uids) {
            Ok(plan) => return Ok((plan, reserved.clone())),
            Err(too_low) => Setback::TooLow(too_low.high),
        };
        let (Some(beside), Some((decider, _)), Setback::TooLow(high)) = (beside, locked.open.first(), &too_low) else {
            return Err(too_low);
        };
        let in_need = settlement::in_need(&locked.views, &matter.candidates);
        let reserved =
            participant::reserve(beside, *decider, matter.mailbox, &in_need, *high).await.map_err(Setback::Failed)?;
        self.pass(Step::Reserved).map_err(Setback::Failed)?;
        match settlement::plan(&locked.views, &matter.candidates, &reserved.uids) {
            Ok(plan) => Ok((plan, reserved)),
            Err(too_low) => Err(Setback::TooLow(too_low.high)),
        }
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
        let (rows, numbers) = (BTreeMap::new(), Vec::new());
        let mut locked = Locked { open: Vec::new(), views: Vec::new(), rows, numbers, since: Instant::now() };
        // Whatever can be said to a node before a lock is held is said before.
        let mut begun = Vec::new();
        for result in join_all(participants.iter_mut().map(begin)).await {
            begun.push(result?);
        }
        let mut begun = begun.into_iter();
        let Some((id, mutex)) = begun.next() else { return Ok(locked) };
        let line = participant::lock(&mutex, id, matter.mailbox, LockPatience::of(hold_ms)).await;
        let line = line.map_err(|error| refused(id, error))?;
        locked.since = Instant::now();
        self.pass(Step::Locked(1)).map_err(Setback::Failed)?;
        // Shorter than the first node lets a pause last, or it would let go while another is waited for.
        let patience = LockPatience { wait_ms: (hold_ms / 2).max(1), hold_ms };
        // What the first has is looked at while the others give their locks.
        let others = join_all(begun.map(|(id, transaction)| take(id, transaction, matter, patience)));
        let (looked, others) = join(look(&mutex, matter), others).await;
        locked.admit((id, mutex), line, looked.map_err(|error| refused(id, error))?);
        for taken in others {
            let (node, line, looked) = taken?;
            locked.admit(node, line, looked);
            self.pass(Step::Locked(locked.open.len())).map_err(Setback::Failed)?;
        }
        Ok(locked)
    }
}

impl<'a> Locked<'a> {
    /// One more node, whose lock is held.
    fn admit(&mut self, node: (NodeId, Transaction<'a>), Lines { reported, high }: Lines, looked: Looked) {
        let (messages, rows, numbers) = looked;
        self.numbers.extend(numbers);
        self.rows.insert(node.0, rows);
        self.views.push(NodeView { node: node.0, reported, high, messages });
        self.open.push(node);
    }
}

fn highest(participants: &[Participant<'_>]) -> Uid {
    participants.iter().map(|participant| participant.high).max().unwrap_or_default()
}

/// What a node has of the messages in question, where it has their rows, and the numbers that it knows.
type Looked = (BTreeMap<BirthUid, Held>, RowMailboxes, Vec<Number>);

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
) -> Result<((NodeId, Transaction<'a>), Lines, Looked), Setback> {
    let lock = participant::lock(&transaction, id, matter.mailbox, patience);
    let (line, looked) = join(lock, look(&transaction, matter)).await;
    let line = line.map_err(|error| refused(id, error))?;
    let looked = looked.map_err(|error| refused(id, error))?;
    Ok(((id, transaction), line, looked))
}

/// Reads in one flight what a node has and which numbers it knows, behind its lock: with newer snapshots. A node that has been paused since
/// it was looked at is not written to.
async fn look(transaction: &Transaction<'_>, matter: &Matter) -> Result<Looked> {
    let view = participant::view(transaction, matter.mailbox, &matter.candidates);
    let numbers = participant::numbers_of(transaction, &matter.candidates);
    let (view, numbers, takes_part) = join3(view, numbers, participant::takes_part(transaction)).await;
    let (messages, rows) = view?;
    takes_part?;
    Ok((messages, rows, numbers?))
}

/// A node does not give its lock. That its own server, or another that had to wait for it, has ended the session, says nothing of that.
fn refused(id: NodeId, error: Error) -> Setback {
    if error.kind() == Kind::Unreachable { Setback::Waited(error) } else { Setback::Busy(id, error) }
}

/// The numbers of each message up to the one that it has in the end, so that every node knows what became of each.
fn numbers(locked: &Locked<'_>, plan: &Plan, reserved: &Reserved) -> Vec<Number> {
    let given = plan.numbers.iter().map(|(&birth, &uid)| Number {
        uid,
        birth,
        decided_by: reserved.decided_by,
        decided_at: reserved.decided_at.clone(),
    });
    locked.numbers.iter().cloned().chain(given).collect()
}

/// What one node writes: its actions, and all numbers.
async fn write_on(
    transaction: &Transaction<'_>,
    node: NodeId,
    matter: &Matter,
    locked: &Locked<'_>,
    plan: &Plan,
    numbers: &[Number],
    insists: bool,
) -> Result<()> {
    let row_mailbox = |birth| locked.rows.get(&node).and_then(|rows| rows.get(birth)).copied();
    let actions = plan.actions.get(&node).into_iter().flatten();
    let actions = actions.map(|(birth, action)| (*birth, row_mailbox(birth).unwrap_or(matter.mailbox), *action));
    if let Some(renumbering) = Renumbering::of(matter.mailbox, actions.clone()) {
        return renumbering.write(transaction, numbers, insists).await;
    }
    let mut writer = PlanWriter::for_settlement();
    for number in numbers {
        writer.number(number.uid, number.birth, number.decided_by, &number.decided_at);
    }
    for (birth, row_mailbox, action) in actions {
        writer.change(birth, matter.mailbox, row_mailbox, action);
    }
    if insists {
        writer.insist();
    }
    writer.write(transaction).await
}
