//! Who takes part in a settlement, and what is to be settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{MESSAGES_AT_ONCE, Matter, Participant, Settler};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::error::{Error, Kind, Result};
use crate::node::participant;
use crate::worker::hub::Node;
use crate::worker::pace::{Pace, Paces};

/// A delivery to many recipients is not waited for longer than this: a staging row that dbmail left behind would stop us for ever.
const DELIVERY_PATIENCE_S: f64 = 60.0;

/// How long a node may take to answer before a settlement goes on without it.
pub(super) const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// For how long a node that did not answer is not asked again.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// A node that takes part, its late messages with the seconds that they have waited, and its mesh.
type Look<'a> = (Participant<'a>, BTreeMap<BirthUid, f64>, String);

impl Settler {
    /// Who takes part, and what is to be settled.
    pub(super) async fn gather(&self, mailbox: MailboxId) -> Result<(Vec<Participant<'_>>, Matter)> {
        let mut waited: BTreeMap<BirthUid, f64> = BTreeMap::new();
        let mut participants = Vec::new();
        let mut mesh_id: Option<String> = None;
        let own: BTreeSet<NodeId> = self.hub.targets().map(|node| node.endpoint.id).collect();
        for found in self.look_everywhere(mailbox, &own).await {
            let (participant, ripe, its_mesh) = found;
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
            self.forget(mailbox);
            BTreeSet::new()
        } else if self.keep_pace(mailbox, &mut participants).await? {
            self.currency(mailbox, &mut participants, &waited).await?
        } else {
            BTreeSet::new()
        };
        Ok((participants, Matter { mailbox, candidates }))
    }

    /// Nothing is to be settled in the mailbox any more.
    pub(super) fn forget(&self, mailbox: MailboxId) {
        self.paces().forget(mailbox);
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

    /// A look at all nodes at once, those of this worker first: they say which mesh this is about. A node that does not answer soon
    /// has no part in this, and is not asked again for a while: one that is silent must not hold the others up.
    async fn look_everywhere<'a>(&'a self, mailbox: MailboxId, own: &BTreeSet<NodeId>) -> Vec<Look<'a>> {
        let nodes: Vec<&Node> = self.hub.nodes().filter(|node| !self.is_silent(node.endpoint.id)).collect();
        let (mine, others): (Vec<&Node>, Vec<&Node>) = nodes.iter().partition(|node| own.contains(&node.endpoint.id));
        let nodes: Vec<&Node> = mine.into_iter().chain(others).collect();
        let looks = nodes.iter().map(|node| tokio::time::timeout(LOOK_TIMEOUT, self.look(node, mailbox)));
        let mut found = Vec::new();
        for (node, look) in nodes.iter().zip(join_all(looks).await) {
            let look = look.unwrap_or_else(|_| Err(Error::new(Kind::Unreachable, "it does not answer")));
            match look {
                Ok(look) => found.extend(look),
                Err(error) => {
                    tracing::debug!(node = node.endpoint.name, %error, "not part of a settlement");
                    self.note_silent(node.endpoint.id);
                }
            }
        }
        found
    }

    fn is_silent(&self, node: NodeId) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.get(&node).is_some_and(|since| since.elapsed() < SILENT_FOR)
    }

    fn note_silent(&self, node: NodeId) {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).insert(node, Instant::now());
    }

    /// A look at one node without locks; `None` when it has no part in this.
    async fn look<'a>(&self, node: &'a Node, mailbox: MailboxId) -> Result<Option<Look<'a>>> {
        let begun = Instant::now();
        let client = node.writer().await?;
        let glance = participant::glance(&client, mailbox).await?;
        let Some(high) = glance.high else { return Ok(None) };
        // A node that has met no other yet settles by itself.
        let mesh = glance.mesh_id.unwrap_or_else(|| format!("node {} alone", node.endpoint.id));
        let ripe = participant::ripe_messages(
            &client,
            mailbox,
            self.settle_after_s(),
            i64::try_from(MESSAGES_AT_ONCE).unwrap_or(i64::MAX),
        )
        .await?;
        Ok(Some((Participant { node, client, high, held: BTreeMap::new(), took: begun.elapsed() }, ripe, mesh)))
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
            waited.keys().copied().take(self.at_once.load(Ordering::Relaxed)).collect();
        if candidates.is_empty() {
            return Ok(candidates);
        }
        let waited_for = |birth: &BirthUid| waited.get(birth).copied().unwrap_or_default();
        let mut postponed: BTreeSet<BirthUid> = BTreeSet::new();
        for participant in participants.iter_mut() {
            participant.held = participant::held(&participant.client, mailbox, &candidates).await?;
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
}
