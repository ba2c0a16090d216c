//! Reserve, lock, plan, write, commit.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use futures_util::future::join_all;

use super::{Matter, Participant, Settler, Step};
use crate::domain::ids::{NodeId, Uid};
use crate::domain::settlement::{self, NodeView, Plan};
use crate::error::{Error, Kind, Result};
use crate::node::participant::{self, LockPatience, Number, Reserved};
use crate::node::plan::PlanWriter;

/// What a round of locks found.
struct Locked<'a> {
    open: Vec<(NodeId, Transaction<'a>)>,
    views: Vec<NodeView>,
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
        for (committed, (_, transaction)) in locked.open.into_iter().enumerate() {
            transaction.commit().await.map_err(|error| Setback::Failed(error.into()))?;
            self.pass(Step::Committed(committed + 1)).map_err(Setback::Failed)?;
        }
        Ok(plan)
    }

    /// Takes the mutex, then the locks of the others, all at once: the first node's server does not wait for ever for them.
    async fn lock<'a>(&self, participants: &'a mut [Participant<'_>], matter: &Matter) -> Result<Locked<'a>, Setback> {
        let hold_ms = self.hub.lock_ms();
        let mut locked = Locked { open: Vec::new(), views: Vec::new(), numbers: Vec::new() };
        let Some((mutex, others)) = participants.split_first_mut() else { return Ok(locked) };
        let first = take(mutex, matter, LockPatience { wait_ms: hold_ms, hold_ms }).await?;
        self.admit_lock(&mut locked, first)?;
        // Shorter than the first node lets a pause last, or it would let go while another is waited for.
        let patience = LockPatience { wait_ms: (hold_ms / 2).max(1), hold_ms };
        let others = others.iter_mut().map(|participant| take(participant, matter, patience));
        for taken in join_all(others).await {
            self.admit_lock(&mut locked, taken?)?;
        }
        let numbers =
            locked.open.iter().map(|(_, transaction)| participant::numbers_of(transaction, &matter.candidates));
        let numbers = join_all(numbers).await.into_iter().collect::<Result<Vec<_>>>().map_err(Setback::Failed)?;
        locked.numbers = numbers.into_iter().flatten().collect();
        Ok(locked)
    }

    fn admit_lock<'a>(
        &self,
        locked: &mut Locked<'a>,
        (id, transaction, view): (NodeId, Transaction<'a>, NodeView),
    ) -> Result<(), Setback> {
        locked.views.push(view);
        locked.open.push((id, transaction));
        self.pass(Step::Locked(locked.open.len())).map_err(Setback::Failed)
    }
}

/// Takes one node's lock. A session that is gone is no fault of the node's: the settlement begins anew.
async fn take<'a>(
    participant: &'a mut Participant<'_>,
    matter: &Matter,
    patience: LockPatience,
) -> Result<(NodeId, Transaction<'a>, NodeView), Setback> {
    let id = participant.node.endpoint.id;
    if participant.client.is_closed() {
        return Err(Setback::Failed(Error::new(Kind::Transient, format!("the session on node {id} is gone"))));
    }
    let transaction = participant.client.transaction().await.map_err(|error| Setback::Failed(error.into()))?;
    let view = participant::lock(&transaction, id, matter.mailbox, &matter.candidates, patience)
        .await
        .map_err(|error| Setback::Busy(id, error))?;
    Ok((id, transaction, view))
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
        writer.change(birth, matter.mailbox, action);
    }
    writer
}
