//! Who takes part in a settlement, and what is to be settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join, try_join_all};

use super::{Matter, Participant, Settler};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::snapshot::Snapshot;
use crate::error::{Error, Kind, Result};
use crate::node::participant;
use crate::worker::hub::Node;
use crate::worker::pace::{Coming, LinkIn, Pace, Paces, Seen};

/// A delivery to many recipients is not waited for longer than this: a staging row that dbmail left behind would stop us for ever.
const DELIVERY_PATIENCE_S: f64 = 60.0;

/// How long a node may take to answer before a settlement goes on without it.
pub(super) const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// For how long a node that did not answer is not asked again.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// What a look at a node found.
struct Look<'a> {
    participant: Participant<'a>,
    /// Its late messages that are ripe, with the seconds that they have waited.
    ripe: BTreeMap<BirthUid, f64>,
    mesh: String,
    snapshot: Snapshot,
    links: BTreeMap<NodeId, LinkIn>,
}

impl Look<'_> {
    fn id(&self) -> NodeId {
        self.participant.node.endpoint.id
    }
}

/// Who takes part in a settlement, and what is to be settled.
pub(super) struct Gathered<'a> {
    pub(super) participants: Vec<Participant<'a>>,
    pub(super) matter: Matter,
    /// Nodes that have no part in it because they are behind.
    pub(super) left_out: BTreeSet<NodeId>,
    /// Those among them that need not be waited for any longer, and on which something is late: nobody settles that without them.
    pub(super) stranded: BTreeSet<NodeId>,
}

impl Gathered<'_> {
    fn nothing(mailbox: MailboxId) -> Self {
        let matter = Matter { mailbox, candidates: BTreeSet::new() };
        Self { participants: Vec::new(), matter, left_out: BTreeSet::new(), stranded: BTreeSet::new() }
    }
}

impl Settler {
    /// A settlement of the nodes that keep pace.
    pub(super) async fn gather(&self, mailbox: MailboxId) -> Result<Gathered<'_>> {
        let mut looks = self.look_everywhere(mailbox).await;
        if looks.iter().all(|look| look.ripe.is_empty()) {
            self.paces().forget(mailbox);
            return Ok(Gathered::nothing(mailbox));
        }
        let paces = self.keep_pace(mailbox, &looks).await?;
        if paces.values().any(|pace| *pace == Pace::Behind) {
            return Ok(Gathered::nothing(mailbox));
        }
        let of = |look: &Look<'_>| paces.get(&look.id()).copied().unwrap_or(Pace::Level);
        let is_stranded = |look: &&Look<'_>| of(look) == Pace::Stuck && self.is_stranded(look);
        let left_out = looks.iter().filter(|look| of(look) != Pace::Level).map(Look::id).collect();
        let stranded = looks.iter().filter(is_stranded).map(Look::id).collect();
        looks.retain(|look| of(look) == Pace::Level);
        let gathered = Gathered { left_out, stranded, ..Gathered::nothing(mailbox) };
        let late = late_on(&looks);
        self.with_current(gathered, looks, &late, None).await
    }

    /// A settlement that a node takes part in although it lags, for something is late there, with all that are not left out. It lifts the
    /// node's line above what may still come to it, which costs these messages a number each. But it may be a long time until they come,
    /// and what is late would be hidden until then. Everything that the node has is settled with it: what the others gave a number by
    /// themselves would come to it below its line.
    pub(super) async fn gather_with(
        &self,
        mailbox: MailboxId,
        node: NodeId,
        left_out: &BTreeSet<NodeId>,
    ) -> Result<Gathered<'_>> {
        let mut looks = self.look_everywhere(mailbox).await;
        looks.retain(|look| look.id() == node || !left_out.contains(&look.id()));
        let Some(its) = looks.iter().find(|look| look.id() == node) else { return Ok(Gathered::nothing(mailbox)) };
        let mut late = late_on(&looks);
        let births: BTreeSet<BirthUid> = late.keys().copied().collect();
        let held = participant::held(&its.participant.client, mailbox, &births).await?;
        // Its own come first: there may be more than are settled at once.
        let own: BTreeSet<BirthUid> = its.ripe.keys().copied().take(self.portion.size()).collect();
        let room = self.portion.size() - own.len();
        let others: BTreeSet<BirthUid> = held.into_keys().filter(|birth| !own.contains(birth)).take(room).collect();
        late.retain(|birth, _| own.contains(birth) || others.contains(birth));
        self.with_current(Gathered::nothing(mailbox), looks, &late, Some(node)).await
    }

    /// A settlement of all but those that are left out.
    pub(super) async fn gather_without(&self, mailbox: MailboxId, left_out: &BTreeSet<NodeId>) -> Result<Gathered<'_>> {
        let mut looks = self.look_everywhere(mailbox).await;
        looks.retain(|look| !left_out.contains(&look.id()));
        let late = late_on(&looks);
        self.with_current(Gathered::nothing(mailbox), looks, &late, None).await
    }

    pub(super) fn paces(&self) -> std::sync::MutexGuard<'_, Paces> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is late on a node that is left out. What is late on others than its own is no business of this worker's, nor
    /// does it know how their links are.
    fn is_stranded(&self, look: &Look<'_>) -> bool {
        !look.ripe.is_empty() && self.hub.targets().any(|node| node.endpoint.id == look.id())
    }

    /// Which nodes are too far behind in the mailbox.
    async fn keep_pace(&self, mailbox: MailboxId, looks: &[Look<'_>]) -> Result<BTreeMap<NodeId, Pace>> {
        let participants = || looks.iter().map(|look| &look.participant);
        let low = participants().map(|participant| participant.high).min().unwrap_or_default();
        let tops = participants().filter(|participant| participant.high > low).map(async |participant| {
            let top = participant::top_above(&participant.client, mailbox, low).await?;
            Ok::<_, Error>((participant.node.endpoint.id, top.unwrap_or_default()))
        });
        let tops: BTreeMap<NodeId, Uid> = try_join_all(tops).await?.into_iter().collect();
        let there = snapshots(looks);
        let (now, patience) = (Instant::now(), self.hub.mesh.patience);
        let mut paces = self.paces();
        let judge = |look: &Look<'_>| {
            let (id, high) = (look.id(), look.participant.high);
            let top = tops.iter().filter(|(of, _)| **of != id).map(|(_, top)| *top).max().unwrap_or_default();
            let seen = Seen { high, top, coming: Coming { there: &there, links: &look.links } };
            (id, paces.judge(mailbox, id, seen, now, patience))
        };
        Ok(looks.iter().map(judge).collect())
    }

    /// A look at all nodes of the mesh at once, in the order of their numbers. Those of this worker say which mesh this is about. A node
    /// that does not answer soon has no part in this, and is not asked again for a while: one that is silent must not hold the others up.
    async fn look_everywhere(&self, mailbox: MailboxId) -> Vec<Look<'_>> {
        let own: BTreeSet<NodeId> = self.hub.targets().map(|node| node.endpoint.id).collect();
        let nodes: Vec<&Node> = self.hub.nodes().filter(|node| !self.is_silent(node.endpoint.id)).collect();
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
        let of_own = |look: &&Look<'_>| own.contains(&look.id());
        if let Some(mesh) = found.iter().find(of_own).or(found.first()).map(|look| look.mesh.clone()) {
            found.retain(|look| look.mesh == mesh);
        }
        found.sort_by_key(Look::id);
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
        let client = node.settler().await?;
        let glance = participant::glance(&client, mailbox).await?;
        let Some(high) = glance.high.filter(|_| glance.takes_part) else { return Ok(None) };
        // A node that has met no other yet settles by itself.
        let mesh = glance.mesh_id.unwrap_or_else(|| format!("node {} alone", node.endpoint.id));
        let ripe = participant::ripe_messages(
            &client,
            mailbox,
            self.settle_after_s(),
            i64::try_from(self.portion.size()).unwrap_or(i64::MAX),
        )
        .await?;
        let links = glance.links.into_iter().map(|(source, here, brought)| {
            let pulse = self.hub.pulse(source, node.endpoint.id);
            let beats = pulse.map_or(0, |pulse| pulse.beats.load(Ordering::Relaxed));
            let at_work = pulse.is_some_and(|pulse| pulse.at_work.load(Ordering::Relaxed));
            (source, LinkIn { here, brought: brought + beats, at_work })
        });
        let links = links.collect();
        let participant = Participant { node, client, high, held: BTreeMap::new(), took: begun.elapsed() };
        Ok(Some(Look { participant, ripe, mesh, snapshot: glance.snapshot, links }))
    }

    /// Which messages can be settled now: of those that are late, those that every node which takes part has received and dbmail is done
    /// with. A node that has been without one for longer than the patience is left out, unless it is the one that this is about.
    async fn with_current<'a>(
        &self,
        mut gathered: Gathered<'a>,
        mut looks: Vec<Look<'a>>,
        late: &BTreeMap<BirthUid, f64>,
        about: Option<NodeId>,
    ) -> Result<Gathered<'a>> {
        let mailbox = gathered.matter.mailbox;
        let mut candidates: BTreeSet<BirthUid> = late.keys().copied().take(self.portion.size()).collect();
        if candidates.is_empty() {
            return Ok(gathered);
        }
        let waited_for = |birth: &BirthUid| late.get(birth).copied().unwrap_or_default();
        let mut postponed: BTreeSet<BirthUid> = BTreeSet::new();
        let has = looks.iter().map(|look| {
            let client = &look.participant.client;
            try_join(participant::held(client, mailbox, &candidates), participant::in_delivery(client, &candidates))
        });
        let has = try_join_all(has).await?;
        for (look, (held, delivering)) in looks.iter_mut().zip(has) {
            look.participant.held = held;
            postponed.extend(delivering.into_iter().filter(|birth| waited_for(birth) < DELIVERY_PATIENCE_S));
        }
        let there = snapshots(&looks);
        let (now, patience) = (Instant::now(), self.hub.mesh.patience);
        let mut paces = self.paces();
        looks.retain(|look| {
            let held = &look.participant.held;
            let lacking = candidates.iter().copied().filter(|birth| !held.contains_key(birth)).collect();
            let node = look.id();
            let coming = Coming { there: &there, links: &look.links };
            let takes_part = paces.judge_lacking(mailbox, node, &lacking, coming, now, patience) <= Pace::Behind
                || about == Some(node);
            if !takes_part {
                tracing::debug!(
                    node = look.participant.node.endpoint.name,
                    "too far behind to take part in a settlement"
                );
                gathered.left_out.insert(node);
                gathered.stranded.extend(self.is_stranded(look).then_some(node));
            }
            takes_part
        });
        candidates.retain(|birth| {
            !postponed.contains(birth) && looks.iter().all(|look| look.participant.held.contains_key(birth))
        });
        gathered.participants = looks.into_iter().map(|look| look.participant).collect();
        gathered.matter.candidates = candidates;
        Ok(gathered)
    }
}

/// What is late on any of these nodes, each with the longest time that it has waited.
fn late_on(looks: &[Look<'_>]) -> BTreeMap<BirthUid, f64> {
    let mut late: BTreeMap<BirthUid, f64> = BTreeMap::new();
    for (birth, seconds) in looks.iter().flat_map(|look| &look.ripe) {
        let longest = late.entry(*birth).or_default();
        *longest = longest.max(*seconds);
    }
    late
}

fn snapshots(looks: &[Look<'_>]) -> BTreeMap<NodeId, Snapshot> {
    looks.iter().map(|look| (look.id(), look.snapshot.clone())).collect()
}
